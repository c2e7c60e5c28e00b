-- Results are to be brought once more.
-- ARGV: run, now, jobs…; first all jobs, in any number of calls; then none: from now on the worker sees to it.
-- Answers 0 once the run's files are gone.
local run, now = ARGV[1], ARGV[2]
local run_key = key('run', run)
local f = redis.call('HMGET', run_key, 'state', 'cluster', 'results', 'reason')
if not f[1] then return unknown(run) end
if f[3] == 'cleaned' then return 0 end
local _, shared = targets_of(run)
local places = key('run', run, 'places')
if #ARGV > 2 then
  if not shared then
    redis.call('SADD', key('run', run, 'collect'), unpack(ARGV, 3))
    return 1
  end
  for i = 3, #ARGV do
    local record = redis.call('HGET', key('run', run, 'jobs'), ARGV[i])
    local _, _, _, _, at = parse(record or '')
    local cluster = cluster_of(at or '')
    if cluster then redis.call('SADD', key('run', run, 'collect', cluster), ARGV[i]) end
  end
  return 1
end
if not shared then redis.call('SADD', key('collect', f[2]), run) end
-- where no cluster has anything of it (any more), nobody would ever say that it is delivered
local comes = not shared
for _, cluster in ipairs(shared and redis.call('HKEYS', places) or {}) do
  if redis.call('HGET', places, cluster) == 'delivered' then redis.call('HSET', places, cluster, 'remote') end
  comes = comes or redis.call('HGET', places, cluster) == 'remote'
  redis.call('SADD', key('collect', cluster), run)
end
local lack = redis.call('HGET', key('run', run, 'findings'), 'lack') or ''
local changed = comes and f[3] == 'delivered'
if changed then redis.call('HSET', run_key, 'results', 'remote') end
if lack ~= '' then
  redis.call('HDEL', key('run', run, 'findings'), 'lack')
  -- why it failed is another reason, and stays
  if string.sub(f[4] or '', -#lack) == lack then redis.call('HSET', run_key, 'reason', '') end
end
if changed then tell_run(run, now) end
return 1
