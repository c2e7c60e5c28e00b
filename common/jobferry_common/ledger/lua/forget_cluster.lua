-- Removes what is known of a cluster: nobody lists or ticks it any more.
-- ARGV: cluster; answers 0, or how many open runs may still go there: then nothing was removed
local cluster = ARGV[1]
local open = redis.call('ZCARD', key('open', cluster))
if open > 0 then return open end
redis.call('SREM', key('clusters'), cluster)
redis.call('UNLINK', key('cluster', cluster))
redis.call('HDEL', key('waiting'), cluster)
redis.call('HDEL', key('accounts'), 'cluster/' .. cluster, 'root of ' .. cluster, 'scheduler of ' .. cluster)
return 0
