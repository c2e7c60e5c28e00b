-- Compare-and-set of many jobs of a run, with counters, sets and one packed event.
-- ARGV: run, account, broker, number, at, then for each change:
--       job, was state, was attempt, state, attempt, record, due, event
-- Answers 1 or 0 for each. A forbidden transition or a stale fence refuses the whole batch.
local WIDTH = 8
local run, account = ARGV[1], ARGV[2]
local head = redis.call('HMGET', key('run', run), 'cluster', 'jobs', 'state')
if not head[1] then return unknown(run) end
if stale(account, ARGV[3], ARGV[4]) then return lease_lost(account) end
local cluster, jobs = head[1], tonumber(head[2])
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

-- What each job comes to. If that stands already, this is our own call, sent again after a lost answer.
local outcome = {}
for i = 6, #ARGV, WIDTH do outcome[ARGV[i]] = ARGV[i + 5] end

local answers, accepted, overlay = {}, {}, {}
for i = 6, #ARGV, WIDTH do
  local job, state, attempt, record = ARGV[i], ARGV[i + 3], ARGV[i + 4], ARGV[i + 5]
  local current = overlay[job] or redis.call('HGET', records_key, job)
  local from, from_attempt, token = 'pending', '1', ''
  if current then
    local _
    from, from_attempt, _, token = parse(current)
  end
  local answer = 0
  if current == outcome[job] and not overlay[job] then
    answer = 1
  elseif tonumber(job) < jobs and from == ARGV[i + 1] and from_attempt == ARGV[i + 2] then
    local refusal = forbidden(job, from, from_attempt, state, attempt)
    if refusal then return refusal end
    overlay[job] = record
    accepted[#accepted + 1] = {i, from, token}
    answer = 1
  end
  answers[#answers + 1] = answer
end
if #accepted == 0 then return answers end

local due, flight, collect = key('run', run, 'due'), key('flight', cluster), key('run', run, 'collect')
local counts, events, to_collect, judge = {}, {}, false, false

local function move_token(old, new)
  if old == new then return end
  if old ~= '' then drop_token(cluster, old) end
  if new ~= '' and redis.call('HEXISTS', key('tokens', cluster), new) == 1 then
    redis.call('HINCRBY', key('left', cluster), new, 1)
  end
end

local function move_flight(job, from, to)
  if FLYING[to] and not FLYING[from] then redis.call('SADD', flight, run .. '/' .. job) end
  if FLYING[from] and not FLYING[to] then redis.call('SREM', flight, run .. '/' .. job) end
end

local function end_job(job, from, state, attempt)
  if state ~= 'finished' then judge = true end
  if state == 'finished' or from == 'exited' or attempt ~= '1' then
    redis.call('SADD', collect, job)
    to_collect = true
  end
end

for _, item in ipairs(accepted) do
  local i, from, token = item[1], item[2], item[3]
  local job, state, attempt, record = ARGV[i], ARGV[i + 3], ARGV[i + 4], ARGV[i + 5]
  local _, _, _, new_token = parse(record)
  redis.call('HSET', records_key, job, record)
  counts[from] = (counts[from] or 0) - 1
  counts[state] = (counts[state] or 0) + 1
  move_flight(job, from, state)
  move_token(FLYING[from] and token or '', FLYING[state] and new_token or '')
  if state == 'pending' then
    redis.call('ZADD', due, ARGV[i + 6], job)
  elseif from == 'pending' then
    redis.call('ZREM', due, job)
  end
  if from ~= state then events[#events + 1] = ARGV[i + 7] end
  if from ~= state and next(NEXT[state]) == nil then end_job(job, from, state, attempt) end
end

for state, delta in pairs(counts) do
  if delta ~= 0 then redis.call('HINCRBY', key('run', run), 'n:' .. state, delta) end
end
if not is_final(head[3]) then
  if (counts.pending or 0) ~= 0 then redis.call('HINCRBY', key('waiting'), cluster, counts.pending) end
  if judge or open_jobs(run) == 0 then redis.call('SADD', key('judge', cluster), run) end
end
if to_collect then redis.call('SADD', key('collect', cluster), run) end
if #events > 0 then tell_jobs(run, ARGV[5], events) end
place(run)
return answers
