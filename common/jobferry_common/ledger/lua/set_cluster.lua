-- Sets fields of a cluster; a pause or its end is an event.
-- ARGV: cluster, now, then field and value in turn
local cluster, now = ARGV[1], ARGV[2]
local record = key('cluster', cluster)
local before = redis.call('HGET', record, 'paused') or ''
if #ARGV > 2 then redis.call('HSET', record, unpack(ARGV, 3)) end
local after = redis.call('HGET', record, 'paused') or ''
if before ~= after then
  local text = cjson.encode({
    cluster = cluster, state = after == '' and 'resumed' or 'paused', reason = after, at = tonumber(now)
  })
  redis.call('XADD', key('events'), 'MAXLEN', '~', EVENTS_KEPT, '*', 'c', text)
end
redis.call('SADD', key('clusters'), cluster)
return 1
