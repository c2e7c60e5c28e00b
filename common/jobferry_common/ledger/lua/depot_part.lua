-- A part of a run's results is in the depot; a waiting producer is told.
-- ARGV: run, number of the part, digest of its manifest, now, cluster ('' in a run that goes to one alone)
-- Answers 0 when another part has this number
local run, number, digest, cluster = ARGV[1], ARGV[2], ARGV[3], ARGV[5]
if redis.call('EXISTS', key('run', run)) == 0 then return unknown(run) end
local depot = key('run', run, 'depot')
local there = redis.call('HMGET', depot, 'part:' .. number, 'by:' .. number)
if there[1] then return there[1] == digest and (there[2] or '') == cluster and 1 or 0 end
redis.call('HSET', depot, 'part:' .. number, digest, 'parts', number + 1)
if cluster ~= '' then redis.call('HSET', depot, 'by:' .. number, cluster, 'parts:' .. cluster, number + 1) end
tell_run(run, ARGV[4])
return 1
