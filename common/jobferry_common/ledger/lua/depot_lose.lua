-- What the producer did not fetch so far is not in the depot any more: the worker, which has it, puts all of it again.
-- ARGV: run, now
local run = ARGV[1]
local run_key, depot = key('run', run), key('run', run, 'depot')
local f = redis.call('HMGET', run_key, 'results', 'cluster')
if not f[1] then return unknown(run) end
if f[1] ~= 'remote' and f[1] ~= 'depot' then return 0 end
-- nobody need ask for the parts so far; they were not fetched, so while it is `lost` the run is not delivered
redis.call('HSET', depot, 'lost', ARGV[2], 'fetched', redis.call('HGET', depot, 'parts') or 0)
redis.call('HINCRBY', depot, 'losses', 1)
redis.call('HSET', run_key, 'results', 'remote')
redis.call('SADD', key('collect', f[2]), run)
tell_run(run, ARGV[2])
return 1
