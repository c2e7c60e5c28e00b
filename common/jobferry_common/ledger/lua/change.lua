-- Compare-and-set of many jobs of a run, with counters, sets and one packed event.
-- ARGV: run, account, broker, number, at, then for each change:
--       job, was state, was attempt, state, attempt, record, due, event, was place ('*' for any)
-- Answers 1 or 0 for each. A forbidden transition or a stale fence refuses the whole batch.
local WIDTH = 9
local run, account = ARGV[1], ARGV[2]
local head = redis.call('HMGET', key('run', run), 'cluster', 'jobs', 'state')
if not head[1] then return unknown(run) end
if stale(account, ARGV[3], ARGV[4]) then return lease_lost(account) end
local jobs = tonumber(head[2])
local names, shared = targets_of(run)
local records_key = key('run', run, 'jobs')

local function forbidden(job, from, from_attempt, to, to_attempt)
  local known = NEXT[from]
  local legal = known and (known[to] or (from == to and next(known) ~= nil))
  local same = tonumber(from_attempt) == tonumber(to_attempt)
  local following = to == 'pending' and tonumber(from_attempt) + 1 == tonumber(to_attempt)
  if legal and (same or (following and from ~= 'pending')) then return nil end
  return redis.error_reply('ILLEGAL job ' .. run .. '/' .. job .. ' cannot go from ' .. from .. ' (attempt ' ..
    from_attempt .. ') to ' .. to .. ' (attempt ' .. to_attempt .. '). Nothing was written.')
end

-- What waits again stays with the cluster that claimed it; unless that was given up meanwhile: then anybody may take it.
local takes_part = {}
for _, name in ipairs(names) do takes_part[name] = true end
for i = 6, #ARGV, WIDTH do
  local _, _, _, _, new_place = parse(ARGV[i + 5])
  local cluster = shared and ARGV[i + 3] == 'pending' and cluster_of(new_place)
  if cluster and not takes_part[cluster] then ARGV[i + 5] = placed(ARGV[i + 5], '') end
end

-- What each job comes to. If that stands already, this is our own call, sent again after a lost answer.
local outcome = {}
for i = 6, #ARGV, WIDTH do outcome[ARGV[i]] = ARGV[i + 5] end

local answers, accepted, overlay = {}, {}, {}
for i = 6, #ARGV, WIDTH do
  local job, state, attempt, record = ARGV[i], ARGV[i + 3], ARGV[i + 4], ARGV[i + 5]
  local current = overlay[job] or redis.call('HGET', records_key, job)
  local from, from_attempt, token, place_now = 'pending', '1', '', ''
  if current then
    local _
    from, from_attempt, _, token, place_now = parse(current)
  end
  local same_place = ARGV[i + 8] == '*' or ARGV[i + 8] == place_now
  local answer = 0
  if current == outcome[job] and not overlay[job] then
    answer = 1
  elseif tonumber(job) < jobs and from == ARGV[i + 1] and from_attempt == ARGV[i + 2] and same_place then
    local refusal = forbidden(job, from, from_attempt, state, attempt)
    if refusal then return refusal end
    overlay[job] = record
    accepted[#accepted + 1] = {i, from, token, place_now}
    answer = 1
  end
  answers[#answers + 1] = answer
end
if #accepted == 0 then return answers end

local counts, events, judge = {}, {}, false

-- The cluster of a place: the run's own, unless several share it.
local function at(place_now)
  return shared and cluster_of(place_now) or head[1]
end

local function move_token(old, old_at, new, new_at)
  if old == new then return end
  if old ~= '' then drop_token(old_at, old) end
  if new ~= '' and redis.call('HEXISTS', key('tokens', new_at), new) == 1 then
    redis.call('HINCRBY', key('left', new_at), new, 1)
  end
end

local function move_flight(job, from, from_at, to, to_at)
  if FLYING[to] and not FLYING[from] then redis.call('SADD', key('flight', to_at), run .. '/' .. job) end
  if FLYING[from] and not FLYING[to] then redis.call('SREM', key('flight', from_at), run .. '/' .. job) end
end

local function list_pending(job, due, place_now)
  local cluster = shared and cluster_of(place_now)
  redis.call('ZADD', cluster and key('run', run, 'due', cluster) or key('run', run, 'due'), due, job)
  if cluster then note_claims(run, cluster) end
end

local function end_job(job, from, state, attempt, place_now)
  if state ~= 'finished' then judge = true end
  local somewhere = not shared or cluster_of(place_now)
  if somewhere and (state == 'finished' or from == 'exited' or attempt ~= '1') then
    local parts = shared and {'run', run, 'collect', somewhere} or {'run', run, 'collect'}
    redis.call('SADD', key(unpack(parts)), job)
    redis.call('SADD', key('collect', at(place_now)), run)
  end
end

for _, item in ipairs(accepted) do
  local i, from, token, old_place = item[1], item[2], item[3], item[4]
  local job, state, attempt, record = ARGV[i], ARGV[i + 3], ARGV[i + 4], ARGV[i + 5]
  local _, _, _, new_token, new_place = parse(record)
  local from_at, to_at = at(old_place), at(new_place)
  redis.call('HSET', records_key, job, record)
  counts[from] = (counts[from] or 0) - 1
  counts[state] = (counts[state] or 0) + 1
  move_flight(job, from, from_at, state, to_at)
  move_token(FLYING[from] and token or '', from_at, FLYING[state] and new_token or '', to_at)
  if from == 'pending' then unlist(run, job, shared and old_place or '') end
  if state == 'pending' then list_pending(job, ARGV[i + 6], new_place) end
  if shared then
    count_at(run, old_place, from, -1)
    count_at(run, new_place, state, 1)
    if from == 'pending' and cluster_of(old_place) then note_claims(run, from_at) end
  end
  if from ~= state then events[#events + 1] = ARGV[i + 7] end
  if from ~= state and next(NEXT[state]) == nil then end_job(job, from, state, attempt, old_place) end
end

for state, delta in pairs(counts) do
  if delta ~= 0 then redis.call('HINCRBY', key('run', run), 'n:' .. state, delta) end
end
if not is_final(head[3]) then
  if (counts.pending or 0) ~= 0 then wait_at(names, counts.pending) end
  if judge or open_jobs(run) == 0 then
    for _, name in ipairs(names) do redis.call('SADD', key('judge', name), run) end
  end
end
if #events > 0 then tell_jobs(run, ARGV[5], events) end
place(run)
return answers
