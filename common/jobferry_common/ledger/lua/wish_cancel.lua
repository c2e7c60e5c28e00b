-- Somebody wants a run to end.
-- ARGV: run, now
local run, now = ARGV[1], ARGV[2]
local head = redis.call('HMGET', key('run', run), 'state', 'cluster', 'cancel')
if not head[1] then return unknown(run) end
if is_final(head[1]) then return 0 end
if head[3] ~= '1' then
  redis.call('HSET', key('run', run), 'cancel', 1)
  redis.call('SADD', key('cancel', head[2]), run)
  tell_run(run, now, 'cancel requested')
end
return 1
