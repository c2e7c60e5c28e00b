-- One chunk of an object goes into the broker, unless the depot would hold more than it may.
-- ARGV: writer, number of the chunk, data, limit in bytes, now, until (its writer counts as dead after it)
-- Answers how many bytes the depot holds, or -1 when it is full.
local writer, data, limit, now = ARGV[1], ARGV[3], tonumber(ARGV[4]), ARGV[5]
local bytes, used, writing = key('depot:bytes'), key('depot:used'), key('depot:writing')
for _, dead in ipairs(redis.call('ZRANGEBYSCORE', writing, '-inf', now)) do
  redis.call('DECRBY', used, redis.call('HGET', bytes, dead) or 0)
  redis.call('HDEL', bytes, dead)
  redis.call('UNLINK', key('depot:data', dead))
  redis.call('ZREM', writing, dead)
end
if tonumber(redis.call('GET', used) or '0') + #data > limit then return -1 end
redis.call('ZADD', writing, ARGV[6], writer)
if redis.call('HSET', key('depot:data', writer), ARGV[2], data) == 1 then
  redis.call('HINCRBY', bytes, writer, #data)
  return redis.call('INCRBY', used, #data)
end
return tonumber(redis.call('GET', used))
