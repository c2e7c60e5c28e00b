-- Notes what fetching the results of a run found; nothing, once the run was removed.
-- ARGV: run, which of its hashes, then fields and texts
local run = ARGV[1]
if redis.call('EXISTS', key('run', run)) == 0 then return 0 end
return redis.call('HSET', key('run', run, ARGV[2]), unpack(ARGV, 3))
