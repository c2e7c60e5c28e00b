-- All chunks of an object are there: now it has its name.
-- ARGV: writer, digest, number of chunks; answers 0 when chunks are gone
local writer, digest = ARGV[1], ARGV[2]
local bytes, data = key('depot:bytes'), key('depot:data', writer)
if redis.call('HLEN', data) ~= tonumber(ARGV[3]) then
  return redis.call('EXISTS', key('depot:data', digest))
end
redis.call('ZREM', key('depot:writing'), writer)
if redis.call('EXISTS', key('depot:data', digest)) == 1 then
  redis.call('DECRBY', key('depot:used'), redis.call('HGET', bytes, writer))
  redis.call('UNLINK', data)
else
  redis.call('RENAME', data, key('depot:data', digest))
  redis.call('HSET', bytes, digest, redis.call('HGET', bytes, writer))
end
redis.call('HDEL', bytes, writer)
return 1
