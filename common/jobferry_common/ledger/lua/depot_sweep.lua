-- Takes garbage to be removed. Who took it says so afterwards (ZREM of `removing`), or it is garbage again.
-- ARGV: depot, now, seconds after which whoever removes counts as dead, count
local depot, now = ARGV[1], tonumber(ARGV[2])
local garbage, removing = key('depot', depot, 'garbage'), key('depot', depot, 'removing')
for _, digest in ipairs(redis.call('ZRANGEBYSCORE', removing, '-inf', now - tonumber(ARGV[3]))) do
  redis.call('ZREM', removing, digest)
  if redis.call('HEXISTS', key('depot', depot, 'refs'), digest) == 0 then redis.call('SADD', garbage, digest) end
end
local taken = redis.call('SPOP', garbage, ARGV[4])
for _, digest in ipairs(taken) do redis.call('ZADD', removing, now, digest) end
return taken
