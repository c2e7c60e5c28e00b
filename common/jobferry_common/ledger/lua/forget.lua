-- Removes all of a run that has ended.
-- ARGV: run, now; answers 1, 0 if it was not there, -1 if it has not ended
local run = ARGV[1]
local head = redis.call('HMGET', key('run', run), 'state', 'cluster', 'destination')
if not head[1] then return 0 end
if not is_final(head[1]) then return -1 end
local cluster = head[2]
if head[3] and redis.call('HGET', key('destinations'), head[3]) == run then
  redis.call('HDEL', key('destinations'), head[3])
end
local names = redis.call('HKEYS', key('run', run, 'places'))
for _, name in ipairs((targets_of(run))) do names[#names + 1] = name end
for _, name in ipairs(names) do
  local claims, due = held_by(run, name)
  redis.call('UNLINK', claims, due, key('run', run, 'collect', name))
  redis.call('ZREM', key('open', name), run)
  for _, set in ipairs({'collect', 'claimed', 'judge', 'cancel'}) do redis.call('SREM', key(set, name), run) end
end
for _, part in ipairs({'at', 'places', 'read', 'refused', 'common'}) do redis.call('UNLINK', key('run', run, part)) end
redis.call('SREM', key('any'), run)
redis.call('UNLINK', key('run', run), key('run', run, 'pages'), key('run', run, 'jobs'), key('run', run, 'due'),
  key('run', run, 'collect'), key('run', run, 'findings'), key('run', run, 'events'),
  key('run', run, 'done'), key('run', run, 'taken'), key('run', run, 'depot'))
redis.call('ZADD', key('removed'), ARGV[2], (string.match(run, '^(.*)%-')))
redis.call('HDEL', key('aside'), run)
redis.call('UNLINK', key('blamed', run))
for _, list in ipairs({'runs', 'names', 'open'}) do redis.call('ZREM', key(list), run) end
redis.call('SREM', key('collect', cluster), run)
redis.call('SREM', key('inline', cluster), run)
if redis.call('EXISTS', key('inline', cluster)) == 0 and redis.call('EXISTS', key('profile', cluster)) == 1 then
  redis.call('UNLINK', key('profile', cluster), key('cluster', cluster))
  redis.call('SREM', key('clusters'), cluster)
  redis.call('HDEL', key('waiting'), cluster)
end
return 1
