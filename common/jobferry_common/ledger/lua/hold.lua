-- Holds a run: nothing more of it is claimed or submitted; or releases it.
-- ARGV: run, '1' or '0', now; answers 1 if that is new
local run, held, now = ARGV[1], ARGV[2], ARGV[3]
local head = redis.call('HMGET', key('run', run), 'state', 'held')
if not head[1] then return unknown(run) end
if is_final(head[1]) or (head[2] or '0') == held then return 0 end
redis.call('HSET', key('run', run), 'held', held)
place(run)
tell_run(run, now, held == '1' and 'held' or 'released')
return 1
