-- How far the results of a shared run at one of its clusters are; the run's own follow the last of them.
-- ARGV: run, cluster ('' for none: only the run's own follow), delivered | cleaned | given up, now
-- Answers 2 if the run's directories became free by it, else 1 or 0.
local run, cluster = ARGV[1], ARGV[2]
if redis.call('EXISTS', key('run', run)) == 0 then return unknown(run) end
if cluster ~= '' then redis.call('HSET', key('run', run, 'places'), cluster, ARGV[3]) end
return follow_places(run, ARGV[4])
