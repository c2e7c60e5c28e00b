-- What a cluster has claimed and not submitted goes back to the pool.
-- ARGV: run, cluster, '1' for all of it, '0' for what lacks its files; answers how many
local run, cluster = ARGV[1], ARGV[2]
local state = redis.call('HGET', key('run', run), 'state')
if not state then
  redis.call('SREM', key('claimed', cluster), run)
  return 0
end
local given = give_up_claims(run, cluster, ARGV[3] == '1', true)
place(run)
return given
