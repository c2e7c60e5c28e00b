-- Accepts a submission: one transaction.
-- ARGV: submission, nonce, reuse, resumed, pieces, now, owner, destination, cluster, name, tasks, jobs, taken, finished,
--       partly, in_place, profile, forced, marks…
-- Answers a word and a run: new | attached | active | busy | resume | gone | known.
-- forced: the number of a run that was lost and is put back, 0 for the next one. It is known if it is there.
-- The same submission of another owner, or from another directory, is another run: it neither attaches nor resumes.
local submission, nonce, reuse, resumed = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local pieces, now, owner, destination, cluster = tonumber(ARGV[5]), ARGV[6], ARGV[7], ARGV[8], ARGV[9]
local name, tasks, jobs, taken, finished = ARGV[10], ARGV[11], tonumber(ARGV[12]), ARGV[13], tonumber(ARGV[14])
local partly, in_place, profile, forced = tonumber(ARGV[15]), ARGV[16], ARGV[17], tonumber(ARGV[18])
local first_mark = 19
local UNREACHED = 300 -- seconds without a pass over a cluster; see `_UNREACHED_MINUTES`

-- Somebody wished the end of a run, and its cluster cannot be reached. Nothing more of it is submitted; where tasks
-- do not run in place, its results then stay on the cluster.
local function is_given_up(run)
  local f = redis.call('HMGET', key('run', run), 'cancel', 'in_place')
  if f[1] ~= '1' or (f[2] == '1' and in_flight(run) > 0) then return false end
  for _, name in ipairs((targets_of(run))) do
    local c = redis.call('HMGET', key('cluster', name), 'paused', 'paused_by', 'last_pass')
    local away = c[2] == 'jobferry' and c[1] ~= '' or tonumber(now) - tonumber(c[3] or '0') > UNREACHED
    if not away then return false end
  end
  return true
end

-- A run that has marks, with those of the same destination whose results are still to come to the same places.
local function with_siblings(run)
  local found, sub = {run}, string.match(run, '^(.*)%-')
  local ours = redis.call('HGET', key('run', run), 'destination')
  for n = 1, tonumber(redis.call('HGET', key('submissions'), sub) or '0') do
    local one = sub .. '-' .. n
    if one ~= run and ours and redis.call('HGET', key('run', one), 'destination') == ours and occupies(one, '') then
      found[#found + 1] = one
    end
  end
  return found
end
-- where it goes: the first cluster, then those that share it, what they must have, whether more may join, priority,
-- whether it was accepted before and forgotten: then its clusters have to say first what they have of it
local goes = {}
for part in string.gmatch(cluster .. '|', '([^|]*)|') do goes[#goes + 1] = part end
cluster = goes[1]

local number = tonumber(redis.call('HGET', key('submissions'), submission) or '0')
local last = redis.call('HGET', key('destinations'), destination) or ''
local old = redis.call('HMGET', key('run', last), 'state', 'nonce', 'n:finished')
if forced > 0 then
  last = submission .. '-' .. forced
  if redis.call('EXISTS', key('run', last)) == 1 then return {'known', last} end
  old = {false, false, false}
elseif old[1] and old[2] == nonce then
  return {'new', last}
end
if old[1] and not is_final(old[1]) then
  if reuse ~= '1' then return {'active', last} end
  return {'attached', last}
end
local resumable = (old[1] == 'failed' or old[1] == 'cancelled') and (tonumber(old[3] or '0') > 0
  or redis.call('EXISTS', key('run', last, 'done'), key('run', last, 'taken')) > 0)
if reuse == '1' and resumable and resumed ~= last then return {'resume', last} end

local directories = key('directories')
local seen, displaced = {}, {}
for start = first_mark, #ARGV, 1000 do
  local holders = redis.call('HMGET', directories, unpack(ARGV, start, math.min(start + 999, #ARGV)))
  for _, holder in ipairs(holders) do
    if holder and not seen[holder] then
      seen[holder] = true
      -- that an earlier run of its own ended is perhaps yet to be read, when both are put back
      local own = forced > 0 and redis.call('HGET', key('run', holder), 'destination') == destination
      if not own and occupies(holder, destination) then
        for _, one in ipairs(with_siblings(holder)) do
          if not is_given_up(one) then return {'busy', one} end
          displaced[#displaced + 1] = one
        end
      end
    end
  end
end
local pages, records = key('content', nonce, 'pages'), key('content', nonce, 'jobs')
local parts = key('content', nonce, 'taken')
if redis.call('HLEN', pages) ~= pieces then return {'gone', ''} end
if redis.call('HLEN', records) ~= finished then return {'gone', ''} end
if redis.call('HLEN', parts) ~= partly then return {'gone', ''} end

local own = forced > 0 and forced or number + 1
local run = submission .. '-' .. own
local turn = redis.call('INCR', key('turn'))
redis.call('HSET', key('submissions'), submission, math.max(number, own))
redis.call('ZREM', key('removed'), submission)
if own > number then redis.call('HSET', key('destinations'), destination, run) end
redis.call('RENAME', pages, key('run', run, 'pages'))
redis.call('PERSIST', key('run', run, 'pages'))
if finished > 0 then
  redis.call('RENAME', records, key('run', run, 'jobs'))
  redis.call('PERSIST', key('run', run, 'jobs'))
end
if partly > 0 then
  redis.call('RENAME', parts, key('run', run, 'taken'))
  redis.call('PERSIST', key('run', run, 'taken'))
end
redis.call('HSET', key('run', run), 'state', 'accepted', 'results', 'remote', 'owner', owner, 'destination', destination,
  'cluster', cluster, 'name', name, 'tasks', tasks, 'jobs', jobs, 'accepted', now, 'nonce', nonce,
  'turn', turn, 'first', turn, 'taken', taken, 'resumes', tonumber(taken) > 0 and resumed or '',
  'in_place', in_place, 'targets', goes[2], 'requires', goes[3], 'priority', goes[5],
  'born', (forced > 0 or goes[6] == '1') and 'before' or server(), 'schema', VERSION,
  'fresh', 0, 'n:pending', jobs - finished, 'n:finished', finished)
for _, holder in ipairs(displaced) do redis.call('HSET', key('run', holder), 'displaced', run) end
for start = first_mark, #ARGV, 1000 do
  local fields = {}
  for i = start, math.min(start + 999, #ARGV) do
    fields[#fields + 1] = ARGV[i]
    fields[#fields + 1] = run
  end
  redis.call('HSET', directories, unpack(fields))
end
for _, list in ipairs({key('runs'), key('open')}) do redis.call('ZADD', list, now, run) end
redis.call('ZADD', key('names'), 0, run)
local targets = targets_of(run)
for _, name in ipairs(targets) do
  redis.call('ZADD', key('open', name), now, run)
  if jobs == finished then redis.call('SADD', key('judge', name), run) end
end
wait_at(targets, jobs - finished)
if goes[4] == '1' then redis.call('SADD', key('any'), run) end
if profile ~= '' then
  redis.call('SET', key('profile', cluster), profile)
  redis.call('SADD', key('inline', cluster), run)
end
place(run)
tell_run(run, now)
return {'new', run}
