-- A cluster claims jobs that nobody has claimed, of a run that several clusters share.
-- ARGV: run, account, broker, number, cluster, how many at most, now
-- Answers the jobs; or 'waits' and the name of the cluster that has to say first what it has.
local WINDOW, WINDOWS = 256, 40
local run, account, cluster, limit, now = ARGV[1], ARGV[2], ARGV[5], tonumber(ARGV[6]), ARGV[7]
local head = redis.call('HMGET', key('run', run), 'state', 'cancel', 'held', 'jobs', 'fresh')
if not head[1] then return unknown(run) end
if stale(account, ARGV[3], ARGV[4]) then return lease_lost(account) end
if is_final(head[1]) or head[2] == '1' or head[3] == '1' then return {} end
local names, shared = targets_of(run)
if not shared then return {} end
local ours = false
for _, name in ipairs(names) do ours = ours or name == cluster end
if not ours or has_refused(run, cluster) then return {} end

local silent = unanswered(run, names)
if silent then return {'waits', silent} end

local records, pool = key('run', run, 'jobs'), key('run', run, 'due')
local jobs, fresh = as_number(head[4]), as_number(head[5])
local found = {}
for _, job in ipairs(redis.call('ZRANGEBYSCORE', pool, '-inf', now, 'LIMIT', 0, limit)) do
  found[#found + 1] = {job, redis.call('HGET', records, job)}
end
local leading, start, windows = true, fresh, 0
while start < jobs and windows < WINDOWS and #found < limit do
  local some = {}
  for job = start, math.min(start + WINDOW, jobs) - 1 do some[#some + 1] = job end
  for i, record in ipairs(redis.call('HMGET', records, unpack(some))) do
    if not record and #found < limit then
      found[#found + 1] = {some[i], 'pending|1|0||||||' .. now .. '|'}
      record = true
    end
    leading = leading and record
    if leading then fresh = some[i] + 1 end
  end
  start, windows = start + WINDOW, windows + 1
end
redis.call('HSET', key('run', run), 'fresh', fresh)
if #found == 0 then
  place(run)
  return {}
end

local at = cluster .. '#' .. redis.call('HINCRBY', key('run', run), 'claims', 1)
local claims = held_by(run, cluster)
local answer = {}
for i, item in ipairs(found) do
  redis.call('HSET', records, item[1], placed(item[2], at))
  redis.call('ZREM', pool, item[1])
  redis.call('ZADD', claims, now, item[1])
  answer[i] = tostring(item[1])
end
count_at(run, cluster, 'pending', #found)
note_claims(run, cluster)
redis.call('HSETNX', key('run', run, 'places'), cluster, 'remote')
serve(run, cluster)
place(run)
return answer
