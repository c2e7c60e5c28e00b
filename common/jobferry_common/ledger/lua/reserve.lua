-- The intent: jobs go from pending to submitting under a token whose list is frozen; all of them or none.
-- ARGV: run, account, broker, number, cluster, token, single, now, then for each attempt: job, attempt, claim
--       (0 in a run that goes to one cluster alone)
local run, account, number, cluster, token, now = ARGV[1], ARGV[2], ARGV[4], ARGV[5], ARGV[6], ARGV[8]
local head = redis.call('HMGET', key('run', run), 'state', 'cancel', 'jobs', 'held')
if not head[1] then return unknown(run) end
if stale(account, ARGV[3], number) then return lease_lost(account) end
local known = redis.call('HGET', key('tokens', cluster), token)
if known then
  -- our own call, sent again by a client that lost its answer
  return string.sub(known, 1, #run + #number + 2) == run .. '|' .. number .. '|' and 1 or 0
end
if is_final(head[1]) or head[2] == '1' or head[4] == '1' then return 0 end
local names, shared = targets_of(run)
if shared and unanswered(run, names) then return 0 end

local records_key, jobs = key('run', run, 'jobs'), as_number(head[3])
local new, frozen, events = {}, {}, {}
for i = 9, #ARGV, 3 do
  local job, attempt, at = ARGV[i], ARGV[i + 1], cluster
  if ARGV[i + 2] ~= '0' then at = cluster .. '#' .. ARGV[i + 2] end
  local current = redis.call('HGET', records_key, job)
  local state, at_attempt, tries, _, claimed = 'pending', '1', '0', '', ''
  if current then state, at_attempt, tries, _, claimed = parse(current) end
  if state ~= 'pending' or at_attempt ~= attempt or tonumber(job) >= jobs then return 0 end
  -- of several clusters, only the one that has claimed the job, and has its files
  if shared and (claimed ~= at or not redis.call('ZSCORE', key('run', run, 'due', cluster), job)) then return 0 end
  new[#new + 1] = {job, 'submitting|' .. attempt .. '|' .. tries .. '|' .. at .. '||' .. token ..
    '|||' .. now .. '|'}
  frozen[#frozen + 1] = job .. '.' .. attempt
  events[#events + 1] = '[' .. job .. ',' .. SUBMITTING .. ',' .. attempt .. ']'
end
if #new == 0 then return 0 end

for _, item in ipairs(new) do
  redis.call('HSET', records_key, item[1], item[2])
  unlist(run, item[1], shared and cluster or '')
  redis.call('SADD', key('flight', cluster), run .. '/' .. item[1])
end
redis.call('HINCRBY', key('run', run), 'n:pending', 0 - #new)
redis.call('HINCRBY', key('run', run), 'n:submitting', #new)
wait_at(names, 0 - #new)
if shared then
  count_at(run, cluster, 'pending', 0 - #new)
  count_at(run, cluster, 'submitting', #new)
  note_claims(run, cluster)
end
redis.call('HSET', key('tokens', cluster), token,
  run .. '|' .. number .. '|' .. ARGV[7] .. '|' .. table.concat(frozen, ','))
redis.call('HSET', key('left', cluster), token, #new)
serve(run, cluster)
place(run)
if head[1] == 'accepted' then
  redis.call('HSET', key('run', run), 'state', 'active')
  tell_run(run, now)
end
tell_jobs(run, now, events)
return 1
