-- Takes the lease of an account, if nobody has it.
-- ARGV: account, holder, milliseconds, nonce, number of the lease that may be taken away ('' for none)
-- Answers the broker's run id and the new number, or nil. A lease from before a restart binds nobody.
local lease = key('lease', ARGV[1])
local broker = server()
local known = redis.call('HMGET', lease, 'number', 'broker', 'nonce')
if known[3] == ARGV[4] then return {known[2], known[1]} end
if known[1] and known[2] == broker and known[1] ~= ARGV[5] then return nil end
local number = redis.call('INCR', key('fences'))
redis.call('HSET', lease, 'holder', ARGV[2], 'number', number, 'broker', broker, 'nonce', ARGV[4])
redis.call('PEXPIRE', lease, ARGV[3])
return {broker, tostring(number)}
