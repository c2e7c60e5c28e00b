-- A cluster takes no further part in a shared run: what it claimed goes back, and it claims nothing more.
-- ARGV: run, cluster, now; answers how many clusters are left, -1 if it had no part in it
local run, cluster, now = ARGV[1], ARGV[2], ARGV[3]
if redis.call('EXISTS', key('run', run)) == 0 then return unknown(run) end
local names, shared = targets_of(run)
if not shared then return names[1] == cluster and 0 or -1 end
local left = {}
for _, name in ipairs(names) do
  if name ~= cluster then left[#left + 1] = name end
end
if #left == #names then return redis.call('HEXISTS', key('run', run, 'places'), cluster) == 1 and #left or -1 end
give_up_claims(run, cluster, true)
redis.call('HSET', key('run', run, 'places'), cluster, 'given up')
-- the last one stays its target, so that somebody still sees to its end
if #left == 0 then return 0 end
local f = redis.call('HMGET', key('run', run), 'owner', 'turn', 'n:pending')
place_at(run, cluster, f[1], f[2], f[2], false, false)
redis.call('HSET', key('run', run), 'targets', table.concat(left, ','), 'cluster', left[1])
redis.call('ZREM', key('open', cluster), run)
for _, set in ipairs({'judge', 'cancel'}) do redis.call('SREM', key(set, cluster), run) end
wait_at({cluster}, 0 - tonumber(f[3] or 0))
judge_refused(run)
place(run)
tell_run(run, now, 'cluster ' .. cluster .. ' was given up')
return #left
