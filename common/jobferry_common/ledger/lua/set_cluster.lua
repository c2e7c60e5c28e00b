-- Sets fields of a cluster; a pause, a drain or the end of either is an event, and its time is noted.
-- ARGV: cluster, now, then field and value in turn
local cluster, now = ARGV[1], ARGV[2]
local record = key('cluster', cluster)
local function halt()
  local f = redis.call('HMGET', record, 'paused', 'draining')
  local reason = f[1] or ''
  local word = reason == '' and 'resumed' or (f[2] or '') == '' and 'paused' or 'draining'
  return word, reason
end
local old_word, old_reason = halt()
if #ARGV > 2 then redis.call('HSET', record, unpack(ARGV, 3)) end
local word, reason = halt()
if word ~= old_word or reason ~= old_reason then
  local text = cjson.encode({cluster = cluster, state = word, reason = reason, at = tonumber(now)})
  if word ~= old_word then redis.call('HSET', record, 'since', now) end
  redis.call('XADD', key('events'), 'MAXLEN', '~', EVENTS_KEPT, '*', 'c', text)
end
redis.call('SADD', key('clusters'), cluster)
return 1
