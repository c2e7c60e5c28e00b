-- A part of a run's results is in the depot; a waiting producer is told.
-- ARGV: run, number of the part, digest of its manifest, now; answers 0 when another part has this number
local run, number, digest = ARGV[1], ARGV[2], ARGV[3]
if redis.call('EXISTS', key('run', run)) == 0 then return unknown(run) end
local depot = key('run', run, 'depot')
local there = redis.call('HGET', depot, 'part:' .. number)
if there then return there == digest and 1 or 0 end
redis.call('HSET', depot, 'part:' .. number, digest, 'parts', number + 1)
tell_run(run, ARGV[4])
return 1
