-- A cluster that was given up has nothing of a run at its scheduler any more: what lies there is seen to as usual.
-- ARGV: run, cluster; answers 0 if the ledger holds the run no more, so that nobody else will
local run, cluster = ARGV[1], ARGV[2]
local run_key, places = key('run', run), key('run', run, 'places')
local f = redis.call('HMGET', run_key, 'state', 'results', 'reason')
if not f[1] then return 0 end
redis.call('HDEL', key('strays', cluster), run)
local _, shared = targets_of(run)
if not shared or redis.call('HGET', places, cluster) ~= 'given up' then return 1 end
local left = redis.call('SCARD', key('run', run, 'collect', cluster))
if f[2] == 'remote' then
  -- its results come after all
  local findings = key('run', run, 'findings')
  local lack = redis.call('HGET', findings, 'lack') or ''
  if string.find(lack, 'stay at ' .. cluster .. ', which was given up', 1, true) then
    redis.call('HDEL', findings, 'lack')
    if string.sub(f[3] or '', -#lack) == lack then redis.call('HSET', run_key, 'reason', '') end
  end
  redis.call('HSET', places, cluster, 'remote')
  redis.call('SADD', key('collect', cluster), run)
else
  -- the run has its end, and others may have its directories: what was not brought waits for `bring_again`
  redis.call('HSET', places, cluster, 'delivered')
  if left == 0 then redis.call('SADD', key('collect', cluster), run) end
end
return 1
