-- A holder needs its objects no more; those that nobody needs become garbage.
-- ARGV: depot, holders…
local depot = ARGV[1]
local refs, garbage = key('depot', depot, 'refs'), key('depot', depot, 'garbage')
for i = 2, #ARGV do
  local held = key('depot', depot, 'held', ARGV[i])
  for _, digest in ipairs(redis.call('SMEMBERS', held)) do
    if redis.call('HINCRBY', refs, digest, -1) <= 0 then
      redis.call('HDEL', refs, digest)
      redis.call('SADD', garbage, digest)
    end
  end
  redis.call('UNLINK', held)
  redis.call('HDEL', key('depot', depot, 'holders'), ARGV[i])
  redis.call('ZREM', key('depot', depot, 'offers'), ARGV[i])
end
return 1
