-- Notes that a holder needs objects of a depot, before anybody asks whether they are there.
-- ARGV: depot, holder, until (the offer is void after it, unless a run keeps it), digests…
-- Answers those that are being removed right now: who removes them has decided before.
local depot, holder = ARGV[1], ARGV[2]
local held, refs = key('depot', depot, 'held', holder), key('depot', depot, 'refs')
if redis.call('HSETNX', key('depot', depot, 'holders'), holder, '') == 1 then
  redis.call('ZADD', key('depot', depot, 'offers'), ARGV[3], holder)
end
local busy = {}
for i = 4, #ARGV do
  if redis.call('SADD', held, ARGV[i]) == 1 then
    redis.call('HINCRBY', refs, ARGV[i], 1)
    redis.call('SREM', key('depot', depot, 'garbage'), ARGV[i])
  end
  if redis.call('ZSCORE', key('depot', depot, 'removing'), ARGV[i]) then busy[#busy + 1] = ARGV[i] end
end
return busy
