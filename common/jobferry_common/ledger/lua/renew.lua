-- Makes a lease last longer, or ends it (0 milliseconds), if it is still ours.
-- ARGV: account, broker, number, milliseconds
if stale(ARGV[1], ARGV[2], ARGV[3]) then return 0 end
redis.call('PEXPIRE', key('lease', ARGV[1]), ARGV[4])
return 1
