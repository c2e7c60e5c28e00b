-- Somebody wants a run to end.
-- ARGV: run, now
local run, now = ARGV[1], ARGV[2]
local state = redis.call('HGET', key('run', run), 'state')
if not state then return unknown(run) end
if is_final(state) then return 0 end
want_end(run, now)
return 1
