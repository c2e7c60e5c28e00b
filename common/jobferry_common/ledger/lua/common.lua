-- What every script shares. KEYS[1] is the ledger's prefix: the keys of a call are only known from what it
-- reads (a run's cluster, its owner), so they are built here. The ledger lives in one server, not in a cluster.
local EVENTS_KEPT = 10000

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

-- state, attempt, tries, token of a job's record
local function parse(record)
  return string.match(record, '^([^|]*)|(%d+)|(%d+)|[^|]*|[^|]*|([^|]*)|')
end

local function in_flight(run)
  local sum = 0
  for _, state in ipairs({'submitting', 'queued', 'running', 'exited'}) do
    sum = sum + tonumber(redis.call('HGET', key('run', run), 'n:' .. state) or 0)
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
  for _, count in ipairs(counts) do sum = sum + tonumber(count or 0) end
  return sum
end

-- Puts a run where due() finds it: ready, later, or nowhere.
local function place(run)
  local f = redis.call('HMGET', key('run', run), 'state', 'cluster', 'owner', 'n:pending', 'turn')
  local cluster, owner = f[2], f[3]
  local ready, owners, later = key('ready', cluster, owner), key('owners', cluster), key('later', cluster)
  local due = key('run', run, 'due')
  local recorded = redis.call('ZCARD', due)
  if not is_final(f[1]) and tonumber(f[4] or 0) > recorded then
    redis.call('ZREM', later, run)
    redis.call('ZADD', ready, 'NX', f[5], run)
    redis.call('ZADD', owners, 'NX', f[5], owner)
    return
  end
  redis.call('ZREM', ready, run)
  if redis.call('EXISTS', ready) == 0 then redis.call('ZREM', owners, owner) end
  if not is_final(f[1]) and recorded > 0 then
    redis.call('ZADD', later, redis.call('ZRANGE', due, 0, 0, 'WITHSCORES')[2], run)
  else
    redis.call('ZREM', later, run)
  end
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

-- One job fewer under a token; the last one takes the token with it.
local function drop_token(cluster, token)
  if redis.call('HINCRBY', key('left', cluster), token, -1) <= 0 then
    redis.call('HDEL', key('left', cluster), token)
    redis.call('HDEL', key('tokens', cluster), token)
  end
end
