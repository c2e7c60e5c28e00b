-- Objects, or what writers left, go out of the broker.
-- ARGV: digests and writers…
local bytes = key('depot:bytes')
for _, name in ipairs(ARGV) do
  local size = redis.call('HGET', bytes, name)
  if size then
    redis.call('DECRBY', key('depot:used'), size)
    redis.call('HDEL', bytes, name)
  end
  redis.call('ZREM', key('depot:writing'), name)
  redis.call('UNLINK', key('depot:data', name))
end
return 1
