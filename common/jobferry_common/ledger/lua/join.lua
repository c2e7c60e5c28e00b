-- A cluster that was announced joins an open run that any cluster may join.
-- ARGV: run, cluster; answers 1 if it is new there
local run, cluster = ARGV[1], ARGV[2]
local head = redis.call('HMGET', key('run', run), 'state', 'n:pending', 'targets', 'accepted')
if not head[1] or is_final(head[1]) then
  redis.call('SREM', key('any'), run)
  return 0
end
for _, name in ipairs((targets_of(run))) do
  if name == cluster then return 0 end
end
if redis.call('HEXISTS', key('run', run, 'places'), cluster) == 1 then return 0 end -- it was given up
redis.call('HSET', key('run', run), 'targets', head[3] .. ',' .. cluster)
redis.call('ZADD', key('open', cluster), head[4], run)
redis.call('HDEL', key('run', run), 'refused')
wait_at({cluster}, tonumber(head[2]))
if redis.call('HGET', key('run', run), 'cancel') == '1' then redis.call('SADD', key('cancel', cluster), run) end
place(run)
return 1
