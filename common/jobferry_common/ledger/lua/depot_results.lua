-- The results of a run are in the depot, or were fetched from it: a compare-and-set.
-- ARGV: run, from, to, now, cluster: one of several, whose part of the run it is ('' in a run that goes to one alone)
-- Answers 0 when they are not in `from`, a part was not fetched, or all are to be put again
local run, from, to, now, cluster = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local run_key, depot, of = key('run', run), key('run', run, 'depot'), cluster == '' and '' or ':' .. cluster
local f = redis.call('HMGET', run_key, 'results', 'cluster')
if not f[1] then return unknown(run) end
local at = cluster == '' and f[1] or redis.call('HGET', key('run', run, 'places'), cluster)
if at == to then return 1 end
if at ~= from then return 0 end
if redis.call('HEXISTS', depot, 'lost' .. of) == 1 then return 0 end
if to == 'delivered' then
  local parts = redis.call('HMGET', depot, 'parts' .. of, 'fetched')
  if tonumber(parts[1] or 0) > tonumber(parts[2] or 0) then return 0 end
  redis.call('HDEL', depot, 'losses' .. of)
end
-- once they are in the depot, the worker has done its part until the producer has done its own
local collect = key('collect', cluster == '' and f[2] or cluster)
redis.call(to == 'depot' and 'SREM' or 'SADD', collect, run)
if cluster == '' then
  redis.call('HSET', run_key, 'results', to)
  tell_run(run, now)
else
  redis.call('HSET', key('run', run, 'places'), cluster, to)
  follow_places(run, now)
end
return 1
