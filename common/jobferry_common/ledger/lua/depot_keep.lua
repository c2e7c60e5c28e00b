-- What was offered belongs to a run now.
-- ARGV: depot, holder, run; answers 0 when the offer is void
local holders = key('depot', ARGV[1], 'holders')
if redis.call('HEXISTS', holders, ARGV[2]) == 0 then return 0 end
redis.call('HSET', holders, ARGV[2], ARGV[3])
redis.call('ZREM', key('depot', ARGV[1], 'offers'), ARGV[2])
return 1
