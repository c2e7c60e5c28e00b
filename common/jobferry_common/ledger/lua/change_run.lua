-- Changes fields of a run; 'state' only along the table.
-- ARGV: run, account, broker, number, was ('' for any), now, then field and value in turn
-- Answers 0 if it is not so, 1 if it is, 2 if the run's directories became free by it.
-- Tells whether a cluster of a shared run has had more of a job than a claim.
local function has_worked(run, cluster)
  for state in pairs(NEXT) do
    local count = redis.call('HGET', key('run', run, 'at'), cluster .. ' ' .. state)
    if state ~= 'pending' and tonumber(count or 0) > 0 then return true end
  end
  return false
end

local run, account, was, now = ARGV[1], ARGV[2], ARGV[5], ARGV[6]
local run_key = key('run', run)
local head = redis.call('HMGET', run_key, 'state', 'cluster', 'n:pending', 'first', 'owner', 'results')
if not head[1] then return unknown(run) end
if stale(account, ARGV[3], ARGV[4]) then return lease_lost(account) end
local state, cluster = head[1], head[2]
local names, shared = targets_of(run)
local changed, ended, told = {}, false, false
for i = 7, #ARGV, 2 do
  local field, value = ARGV[i], ARGV[i + 1]
  if redis.call('HGET', run_key, field) ~= value then
    if field == 'state' and (was == '' or was == state) and not RUN_NEXT[state][value] then
      if is_final(state) then return 0 end
      return redis.error_reply('ILLEGAL run ' .. run .. ' cannot go from ' .. state .. ' to ' .. value)
    end
    changed[#changed + 1] = field
    changed[#changed + 1] = value
    ended = ended or (field == 'state' and is_final(value))
    told = told or (field == 'results' and (head[6] == 'remote' or head[6] == 'depot'))
  end
end
-- it stands as asked: nothing to do, or our own call, sent again after a lost answer
if #changed == 0 then return 1 end
if was ~= '' and was ~= state then return 0 end
redis.call('HSET', run_key, unpack(changed))
if ended then
  redis.call('HSET', run_key, 'finished', now)
  -- no job was ever submitted (an intent makes a run active), so there is nothing to bring; cleaning may take its time
  if state == 'accepted' and head[6] == 'remote' then redis.call('HSET', run_key, 'results', 'delivered') end
  redis.call('ZREM', key('open'), run)
  for _, name in ipairs(names) do
    redis.call('ZREM', key('open', name), run)
    redis.call('SREM', key('judge', name), run)
    redis.call('SREM', key('cancel', name), run)
    redis.call('HDEL', key('doubted', name), run)
  end
  redis.call('SREM', key('any'), run)
  -- its common results, its delivery and its cleaning are still to be seen to, wherever there is something of it
  local places = shared and redis.call('HKEYS', key('run', run, 'places')) or {cluster}
  for _, name in ipairs(places) do redis.call('SADD', key('collect', name), run) end
  local awaited = shared and #places or 1
  for _, name in ipairs(shared and places or {}) do
    local at = redis.call('HGET', key('run', run, 'places'), name)
    if at == 'remote' and not has_worked(run, name) then
      -- it claimed, and others did it: nothing of it is to be brought, and nobody waits for a cluster that is away
      redis.call('HSET', key('run', run, 'places'), name, 'delivered')
      at = 'delivered'
    end
    if at ~= 'remote' then awaited = awaited - 1 end
  end
  if awaited == 0 then
    redis.call('HSET', run_key, 'results', shared and waits_in_depot(run) and 'depot' or 'delivered')
  end
  wait_at(names, 0 - tonumber(head[3] or 0)) -- not "-0", which Redis cannot read
  place(run)
end
if redis.call('HGET', run_key, 'staged') == '1' and not ended then
  for i = 1, #changed, 2 do
    if changed[i] == 'staged' then
      redis.call('HSET', run_key, 'turn', head[4])
      local score = rank(head[4], redis.call('HGET', run_key, 'priority'))
      redis.call('ZADD', key('ready', cluster, head[5]), 'XX', score, run)
    end
  end
end
tell_run(run, now)
return (ended or told) and not occupies(run, '') and 2 or 1
