-- Results of jobs were brought.
-- ARGV: run, jobs…; answers how many are left. A run that has ended stays on the list until it is delivered, too
local run = ARGV[1]
local collect = key('run', run, 'collect')
for start = 2, #ARGV, 1000 do
  redis.call('SREM', collect, unpack(ARGV, start, math.min(start + 999, #ARGV)))
end
local left = redis.call('SCARD', collect)
local f = redis.call('HMGET', key('run', run), 'cluster', 'state', 'results')
local delivered = f[3] == 'delivered' or f[3] == 'cleaned'
if left == 0 and (delivered or not f[2] or not is_final(f[2])) then
  redis.call('SREM', key('collect', f[1] or ''), run)
end
return left
