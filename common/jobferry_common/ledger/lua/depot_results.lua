-- The results of a run are in the depot, or were fetched from it: a compare-and-set.
-- ARGV: run, from, to, now; answers 0 when they are not in `from`, a part was not fetched, or all are to be put again
local run, from, to = ARGV[1], ARGV[2], ARGV[3]
local run_key = key('run', run)
local f = redis.call('HMGET', run_key, 'results', 'cluster')
if not f[1] then return unknown(run) end
if f[1] == to then return 1 end
if f[1] ~= from then return 0 end
if redis.call('HEXISTS', key('run', run, 'depot'), 'lost') == 1 then return 0 end
if to == 'delivered' then
  local parts = redis.call('HMGET', key('run', run, 'depot'), 'parts', 'fetched')
  if (parts[1] or '0') ~= (parts[2] or '0') then return 0 end
end
redis.call('HSET', run_key, 'results', to)
if to == 'delivered' then redis.call('HDEL', key('run', run, 'depot'), 'losses') end
if to == 'depot' then
  -- the worker has done its part until the producer has done its own
  redis.call('SREM', key('collect', f[2]), run)
else
  redis.call('SADD', key('collect', f[2]), run)
end
tell_run(run, ARGV[4])
return 1
