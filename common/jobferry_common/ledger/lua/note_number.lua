-- The number of a submission's last run is at least this one.
-- ARGV: submission, number
local last = tonumber(redis.call('HGET', key('submissions'), ARGV[1]) or '0')
if last < tonumber(ARGV[2]) then redis.call('HSET', key('submissions'), ARGV[1], ARGV[2]) end
return 1
