-- Somebody wants a run to end.
-- ARGV: run, now
local run, now = ARGV[1], ARGV[2]
local head = redis.call('HMGET', key('run', run), 'state', 'cancel')
if not head[1] then return unknown(run) end
if is_final(head[1]) then return 0 end
if head[2] ~= '1' then
  redis.call('HSET', key('run', run), 'cancel', 1)
  for _, name in ipairs((targets_of(run))) do redis.call('SADD', key('cancel', name), run) end
  tell_run(run, now, 'cancel requested')
end
return 1
