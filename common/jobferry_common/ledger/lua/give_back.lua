-- A run does tasks of a job itself that it had taken over; nothing, if that was noted already.
-- ARGV: run, job, was, left ('' for none), how many it does itself
local run, job = ARGV[1], ARGV[2]
local taken = key('run', run, 'taken')
if redis.call('HGET', taken, job) ~= ARGV[3] then return 0 end
if ARGV[4] == '' then
  redis.call('HDEL', taken, job)
else
  redis.call('HSET', taken, job, ARGV[4])
end
redis.call('HINCRBY', key('run', run), 'taken', 0 - tonumber(ARGV[5]))
return 1
