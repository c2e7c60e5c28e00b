-- Results of jobs were brought.
-- ARGV: run, cluster ('' in a run that goes to one alone), jobs…; answers how many are left.
-- A run that has ended stays on the list until it is delivered, too
local run, cluster = ARGV[1], ARGV[2]
local collect = cluster == '' and key('run', run, 'collect') or key('run', run, 'collect', cluster)
for start = 3, #ARGV, 1000 do
  redis.call('SREM', collect, unpack(ARGV, start, math.min(start + 999, #ARGV)))
end
local left = redis.call('SCARD', collect)
local f = redis.call('HMGET', key('run', run), 'cluster', 'state', 'results')
local results = cluster == '' and f[3] or redis.call('HGET', key('run', run, 'places'), cluster)
local delivered = results and results ~= 'remote' and results ~= 'depot'
if left == 0 and (delivered or not f[2] or not is_final(f[2])) then
  redis.call('SREM', key('collect', cluster == '' and f[1] or cluster), run)
end
return left
