-- Pending jobs that may go now: owners in turn, then their runs in turn, so many of each.
-- ARGV: cluster, now, runs, jobs of each run
-- Answers, for each run: its id, then job and record in turn ('' stands for a first attempt without a record).
local MOVED, WINDOW, WINDOWS = 1000, 256, 40
local cluster, now, want_runs, want_jobs = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local later, owners = key('later', cluster), key('owners', cluster)

for _, run in ipairs(redis.call('ZRANGEBYSCORE', later, '-inf', now, 'LIMIT', 0, MOVED)) do
  local f = redis.call('HMGET', key('run', run), 'owner', 'turn', 'priority')
  redis.call('ZREM', later, run)
  if f[1] then
    redis.call('ZADD', key('ready', cluster, f[1]), 'NX', rank(f[2], f[3]), run)
    redis.call('ZADD', owners, 'NX', f[2], f[1])
  end
end

local function in_turn()
  local picked, rank, left = {}, 0, redis.call('ZRANGE', owners, 0, want_runs - 1)
  while #left > 0 and #picked < want_runs do
    local still = {}
    for _, owner in ipairs(left) do
      local run = redis.call('ZRANGE', key('ready', cluster, owner), rank, rank)[1]
      if run and #picked < want_runs then
        picked[#picked + 1] = run
        still[#still + 1] = owner
      end
    end
    left, rank = still, rank + 1
  end
  return picked
end

-- Jobs without a record from `fresh` on. The mark moves over records once, so each is passed over once.
local function add_fresh(run, answer, fresh, jobs)
  local leading, windows = true, 0
  local start, before = fresh, fresh
  while start < jobs and windows < WINDOWS and #answer < 1 + 2 * want_jobs do
    local names = {}
    for job = start, math.min(start + WINDOW, jobs) - 1 do names[#names + 1] = job end
    for i, record in ipairs(redis.call('HMGET', key('run', run, 'jobs'), unpack(names))) do
      if record then
        if leading then fresh = names[i] + 1 end
      else
        leading = false
        if #answer < 1 + 2 * want_jobs then
          answer[#answer + 1] = tostring(names[i])
          answer[#answer + 1] = ''
        end
      end
    end
    start, windows = start + WINDOW, windows + 1
  end
  if fresh ~= before then redis.call('HSET', key('run', run), 'fresh', fresh) end
end

local function jobs_of(run, names, shared)
  local answer = {run}
  if shared and unanswered(run, names) then return answer end
  local list = shared and key('run', run, 'due', cluster) or key('run', run, 'due')
  local due = redis.call('ZRANGEBYSCORE', list, '-inf', now, 'LIMIT', 0, want_jobs)
  for _, job in ipairs(due) do
    answer[#answer + 1] = job
    answer[#answer + 1] = redis.call('HGET', key('run', run, 'jobs'), job)
  end
  local f = redis.call('HMGET', key('run', run), 'fresh', 'jobs')
  -- of what several clusters share, only what this one has claimed
  if #due < want_jobs and not shared then add_fresh(run, answer, as_number(f[1]), as_number(f[2])) end
  return answer
end

local answers = {}
for _, run in ipairs(in_turn()) do
  local f = redis.call('HMGET', key('run', run), 'staged', 'cancel', 'owner', 'priority')
  local names, shared = targets_of(run)
  local answer = jobs_of(run, names, shared)
  if #answer > 1 or (shared and pool_of(run, names, now) > 0) then
    answers[#answers + 1] = answer
  else
    place(run)
  end
  -- what cannot go now must not stand in the way of what can
  if f[1] ~= '1' and not (shared and #answer > 1) or f[2] == '1' then
    local turn = redis.call('INCR', key('turn'))
    redis.call('HSET', key('run', run), 'turn', turn)
    redis.call('ZADD', key('ready', cluster, f[3]), 'XX', rank(turn, f[4]), run)
  end
end
return answers
