-- What the producer did not fetch so far is not in the depot any more: the worker, which has it, puts all of it again.
-- ARGV: run, now, cluster ('' in a run that goes to one alone); answers 0 where no worker will
local run, now, cluster = ARGV[1], ARGV[2], ARGV[3]
local run_key, depot = key('run', run), key('run', run, 'depot')
local f = redis.call('HMGET', run_key, 'results', 'cluster')
if not f[1] then return unknown(run) end
local last, parts = redis.call('HGET', depot, 'fetched') or '0', redis.call('HGET', depot, 'parts') or '0'
if cluster ~= '' then
  -- nobody need ask for its parts so far; those of other clusters stay
  for number = tonumber(last), tonumber(parts) - 1 do
    if redis.call('HGET', depot, 'by:' .. number) == cluster then redis.call('HSET', depot, 'part:' .. number, '') end
  end
  local at = redis.call('HGET', key('run', run, 'places'), cluster)
  if at ~= 'remote' and at ~= 'depot' then return 0 end
  redis.call('HSET', depot, 'lost:' .. cluster, now)
  redis.call('HINCRBY', depot, 'losses:' .. cluster, 1)
  redis.call('HSET', key('run', run, 'places'), cluster, 'remote')
  if f[1] == 'depot' then redis.call('HSET', run_key, 'results', 'remote') end
  redis.call('SADD', key('collect', cluster), run)
  tell_run(run, now)
  return 1
end
if f[1] ~= 'remote' and f[1] ~= 'depot' then return 0 end
-- nobody need ask for the parts so far; they were not fetched, so while it is `lost` the run is not delivered
redis.call('HSET', depot, 'lost', now, 'fetched', parts)
redis.call('HINCRBY', depot, 'losses', 1)
redis.call('HSET', run_key, 'results', 'remote')
redis.call('SADD', key('collect', f[2]), run)
tell_run(run, now)
return 1
