-- What every script shares. KEYS[1] is the ledger's prefix: the keys of a call are only known from what it
-- reads (a run's cluster, its owner), so they are built here. The ledger lives in one server, not in a cluster.
local EVENTS_KEPT = 10000

-- A number of the ledger; 0 where there is none, or somebody else's words: one run must not stop the others.
local function as_number(text)
  return tonumber(text or 0) or 0
end

local function key(...)
  return KEYS[1] .. table.concat({...}, ':')
end

-- The run id of this very process: a server that was restarted, or promoted, has another one.
local function server()
  return string.match(redis.call('INFO', 'server'), 'run_id:(%x+)')
end

local function stale(account, broker, number)
  if number == '0' then return false end
  local lease = redis.call('HMGET', key('lease', account), 'number', 'broker')
  return lease[1] ~= number or lease[2] ~= broker or server() ~= broker
end

local function lease_lost(account)
  return redis.error_reply('LEASE the lease of account ' .. account ..
    ' is over: another worker has it, or the broker was restarted. Nothing was written.')
end

local function unknown(run)
  return redis.error_reply('UNKNOWN the ledger holds no run ' .. run .. ': it was cleaned, or never accepted')
end

local function is_final(state)
  return next(RUN_NEXT[state]) == nil
end

-- state, attempt, tries (with what it asks for, where it does), token, place of a job's record
local function parse(record)
  local state, attempt, tries, place, token = string.match(record, '^([^|]*)|(%d+)|([^|]*)|([^|]*)|[^|]*|([^|]*)|')
  return state, attempt, tries, token, place
end

-- A record with another place: `cluster#claim`, or '' for the pool.
local function placed(record, place)
  return (string.gsub(record, '^([^|]*|%d+|[^|]*|)[^|]*', '%1' .. place))
end

local function cluster_of(place)
  return string.match(place, '^[^#]+')
end

-- The clusters that a run's jobs may go to, and whether they share them by claims.
local function targets_of(run)
  local f = redis.call('HMGET', key('run', run), 'cluster', 'targets')
  if not f[2] or f[2] == '' then return {f[1]}, false end
  local names = {}
  for name in string.gmatch(f[2], '[^,]+') do names[#names + 1] = name end
  return names, true
end

-- Where pending jobs that a cluster has claimed stand: without their files, and with them.
local function held_by(run, cluster)
  return key('run', run, 'claims', cluster), key('run', run, 'due', cluster)
end

local function claimed_by(run, cluster)
  local claims, due = held_by(run, cluster)
  return redis.call('ZCARD', claims) + redis.call('ZCARD', due)
end

-- A pending job leaves every list on which it may stand.
local function unlist(run, job, place)
  redis.call('ZREM', key('run', run, 'due'), job)
  local cluster = cluster_of(place)
  if cluster then
    local claims, due = held_by(run, cluster)
    redis.call('ZREM', claims, job)
    redis.call('ZREM', due, job)
  end
end

local function note_claims(run, cluster)
  if claimed_by(run, cluster) > 0 then
    redis.call('SADD', key('claimed', cluster), run)
  else
    redis.call('SREM', key('claimed', cluster), run)
  end
end

-- How many jobs of a shared run each cluster has in each state; the pool counts nowhere.
local function count_at(run, place, state, delta)
  local cluster = cluster_of(place)
  if cluster then redis.call('HINCRBY', key('run', run, 'at'), cluster .. ' ' .. state, delta) end
end

-- Among the runs of an owner: more priority first, then who waits longest.
local function rank(turn, priority)
  return as_number(turn) - as_number(priority) * 1e12
end

local function in_flight(run)
  local sum = 0
  for _, state in ipairs({'submitting', 'queued', 'running', 'exited'}) do
    sum = sum + as_number(redis.call('HGET', key('run', run), 'n:' .. state))
  end
  return sum
end

-- Whether something of a run may still be written into its real directories: by its jobs, where they run in place, or
-- by fetching its results. Runs of one destination ('' for none) see to the order of their results themselves.
local function occupies(run, destination)
  local f = redis.call('HMGET', key('run', run), 'state', 'results', 'destination', 'in_place')
  if not f[1] then return false end
  if not is_final(f[1]) then return true end
  if f[3] == destination then return false end
  if f[4] == '1' then return in_flight(run) > 0 end
  return f[2] ~= 'delivered' and f[2] ~= 'cleaned'
end

local function open_jobs(run)
  local sum = 0
  local counts = redis.call('HMGET', key('run', run),
    'n:pending', 'n:submitting', 'n:queued', 'n:running', 'n:exited')
  for _, count in ipairs(counts) do sum = sum + as_number(count) end
  return sum
end

local function first_of(list)
  local score = redis.call('ZRANGE', list, 0, 0, 'WITHSCORES')[2]
  return score and tonumber(score)
end

-- Puts a run where due() of one cluster finds it: ready, later (at `first`), or nowhere.
local function place_at(run, cluster, owner, score, turn, fresh, first)
  local ready, owners, later = key('ready', cluster, owner), key('owners', cluster), key('later', cluster)
  if fresh then
    redis.call('ZREM', later, run)
    redis.call('ZADD', ready, 'NX', score, run)
    redis.call('ZADD', owners, 'NX', turn, owner)
    return
  end
  redis.call('ZREM', ready, run)
  if redis.call('EXISTS', ready) == 0 then redis.call('ZREM', owners, owner) end
  if first then
    redis.call('ZADD', later, first, run)
  else
    redis.call('ZREM', later, run)
  end
end

-- Whether a cluster said that it will never take what is in the pool of a shared run.
local function has_refused(run, cluster)
  return redis.call('HEXISTS', key('run', run, 'refused'), cluster) == 1
end

-- Puts a run where due() finds it, at each of its clusters.
local function place(run)
  local f = redis.call('HMGET', key('run', run), 'state', 'owner', 'n:pending', 'turn', 'priority', 'held')
  local names, shared = targets_of(run)
  local open = not is_final(f[1]) and f[6] ~= '1'
  local pool = key('run', run, 'due')
  local fresh = as_number(f[3]) - redis.call('ZCARD', pool)
  if shared then
    for _, cluster in ipairs(names) do fresh = fresh - claimed_by(run, cluster) end
  end
  for _, cluster in ipairs(names) do
    local refused = shared and has_refused(run, cluster)
    local first = not refused and first_of(pool)
    if shared then
      local _, due = held_by(run, cluster)
      local own = first_of(due)
      first = own and (not first or own < first) and own or first
    end
    place_at(run, cluster, f[2], rank(f[4], f[5]), f[4], open and fresh > 0 and not refused, open and first)
  end
end

-- A run was served by a cluster: others come first now.
local function serve(run, cluster)
  local turn = redis.call('INCR', key('turn'))
  local f = redis.call('HMGET', key('run', run), 'owner', 'priority')
  redis.call('HSET', key('run', run), 'turn', turn)
  redis.call('ZADD', key('ready', cluster, f[1]), 'XX', rank(turn, f[2]), run)
  redis.call('ZADD', key('owners', cluster), 'XX', turn, f[1])
end

-- More or fewer jobs are pending that may go to these clusters.
local function wait_at(names, delta)
  for _, cluster in ipairs(names) do redis.call('HINCRBY', key('waiting'), cluster, delta) end
end

local function tell_run(run, at, note)
  local f = redis.call('HMGET', key('run', run), 'state', 'results', 'cluster', 'reason')
  local text = cjson.encode({
    run = run, state = f[1], results = f[2], cluster = f[3], reason = note or f[4] or '', at = tonumber(at)
  })
  redis.call('XADD', key('run', run, 'events'), '*', 'r', text)
  redis.call('XADD', key('events'), 'MAXLEN', '~', EVENTS_KEPT, '*', 'r', text)
end

local function tell_jobs(run, at, items)
  redis.call('XADD', key('run', run, 'events'), '*', 'j', '[' .. at .. ',[' .. table.concat(items, ',') .. ']]')
end

-- Somebody wants a run to end: each of its clusters is to see to that.
local function want_end(run, now)
  if redis.call('HGET', key('run', run), 'cancel') == '1' then return end
  redis.call('HSET', key('run', run), 'cancel', 1)
  for _, name in ipairs((targets_of(run))) do redis.call('SADD', key('cancel', name), run) end
  tell_run(run, now, 'cancel requested')
end

-- One job fewer under a token; the last one takes the token with it.
local function drop_token(cluster, token)
  if redis.call('HINCRBY', key('left', cluster), token, -1) <= 0 then
    redis.call('HDEL', key('left', cluster), token)
    redis.call('HDEL', key('tokens', cluster), token)
  end
end

-- How many jobs of a shared run nobody has claimed, and may be claimed now.
local function pool_of(run, names, now)
  local free = as_number(redis.call('HGET', key('run', run), 'n:pending'))
  for _, cluster in ipairs(names) do free = free - claimed_by(run, cluster) end
  return free - redis.call('ZCOUNT', key('run', run, 'due'), '(' .. now, '+inf')
end

-- Gives what a cluster has claimed and not submitted back to the pool: all of it, or only what lacks its files.
-- `known`: what it tried before stays, while the broker may have forgotten how that ended.
local function give_up_claims(run, cluster, all, known)
  local doubted = known and redis.call('HEXISTS', key('doubted', cluster), run) == 1
  local claims, due = held_by(run, cluster)
  local given = 0
  for _, list in ipairs(all and {claims, due} or {claims}) do
    local rows = redis.call('ZRANGE', list, 0, -1, 'WITHSCORES')
    for i = 1, #rows, 2 do
      local record = redis.call('HGET', key('run', run, 'jobs'), rows[i])
      local _, attempt = parse(record)
      if attempt == '1' or not doubted then
        redis.call('HSET', key('run', run, 'jobs'), rows[i], placed(record, ''))
        redis.call('ZADD', key('run', run, 'due'), list == due and rows[i + 1] or 0, rows[i])
        redis.call('ZREM', list, rows[i])
        given = given + 1
      end
    end
  end
  if given > 0 then count_at(run, cluster, 'pending', 0 - given) end
  note_claims(run, cluster)
  return given
end

-- Once every cluster of a shared run refused it, what is pending fails: each of them is to see to that.
local function judge_refused(run)
  local names = targets_of(run)
  for _, cluster in ipairs(names) do
    if not has_refused(run, cluster) then return end
  end
  local words = {}
  for _, cluster in ipairs(names) do
    words[#words + 1] = cluster .. ': ' .. redis.call('HGET', key('run', run, 'refused'), cluster)
    redis.call('SADD', key('judge', cluster), run)
  end
  redis.call('HSET', key('run', run), 'refused', table.concat(words, '; '))
end

-- A broker that was restarted may have forgotten a claim: nothing more of a shared run from before is claimed or
-- submitted until each of its clusters has said what it has. Returns one that has not, or nothing.
local function unanswered(run, names)
  local broker = server()
  if redis.call('HGET', key('run', run), 'born') == broker then return nil end
  for _, name in ipairs(names) do
    local asked = redis.call('EXISTS', key('cluster', name)) == 1
    if asked and redis.call('HGET', key('run', run, 'read'), name) ~= broker then return name end
  end
end

-- How far something is; of a shared run, as far as it is at the last of its clusters.
local FAR = {remote = 1, depot = 2, delivered = 3, cleaned = 4, ['given up'] = 4}
local FAR_NAMES = {'remote', 'depot', 'delivered', 'cleaned'}

-- Tells whether the producer has parts of a run's results to fetch.
local function waits_in_depot(run)
  local parts = redis.call('HMGET', key('run', run, 'depot'), 'parts', 'fetched')
  return (parts[1] or '0') ~= (parts[2] or '0')
end

-- The results of a shared run follow those at its clusters, forward only; what a cluster that was given up had put into
-- the depot is waited for, too. Answers 2 if the run's directories became free by it, else 1 or 0.
local function follow_places(run, now)
  local f = redis.call('HMGET', key('run', run), 'results', 'state')
  if not is_final(f[2]) then return 0 end
  local least = 4
  for _, at in ipairs(redis.call('HVALS', key('run', run, 'places'))) do least = math.min(least, FAR[at] or 1) end
  if waits_in_depot(run) then least = math.min(least, 2) end
  if (FAR[f[1]] or 1) >= least then return 0 end
  redis.call('HSET', key('run', run), 'results', FAR_NAMES[least])
  tell_run(run, now)
  return occupies(run, '') and 1 or 2
end
