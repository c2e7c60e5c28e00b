-- How far the results of a shared run at one of its clusters are; the run's own follow the last of them.
-- ARGV: run, cluster, delivered | cleaned | given up, now
-- Answers 2 if the run's directories became free by it, else 1 or 0.
local ORDER = {remote = 1, delivered = 2, cleaned = 3, ['given up'] = 3}
local run, cluster, to, now = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local places, run_key = key('run', run, 'places'), key('run', run)
if redis.call('EXISTS', run_key) == 0 then return unknown(run) end
redis.call('HSET', places, cluster, to)
local least = 3
for _, at in ipairs(redis.call('HVALS', places)) do least = math.min(least, ORDER[at] or 1) end
local results = ({'remote', 'delivered', 'cleaned'})[least]
local f = redis.call('HMGET', run_key, 'results', 'state')
if not is_final(f[2]) or (ORDER[f[1]] or 1) >= least then return 0 end
redis.call('HSET', run_key, 'results', results)
tell_run(run, now)
return occupies(run, '') and 1 or 2
