-- Gives a run of which nothing was done yet another number: its own belongs to a run that the broker has lost.
-- ARGV: run, to, account, broker, number, now, seconds, marks of its directories…
-- Answers 1; 0 if it is too late for that, or the other name is taken.
local run, to, account, now = ARGV[1], ARGV[2], ARGV[3], ARGV[6]
local f = redis.call('HMGET', key('run', run), 'state', 'owner', 'destination', 'staged', 'targets')
if not f[1] then return unknown(run) end
if stale(account, ARGV[4], ARGV[5]) then return lease_lost(account) end
if f[1] ~= 'accepted' or f[4] == '1' or f[5] ~= '' or in_flight(run) > 0 then return 0 end
if redis.call('EXISTS', key('run', to)) == 1 then return 0 end
local name = targets_of(run)[1]

for _, part in ipairs({'pages', 'jobs', 'due', 'collect', 'findings', 'done', 'taken', 'depot', 'events'}) do
  if redis.call('EXISTS', key('run', run, part)) == 1 then
    redis.call('RENAME', key('run', run, part), key('run', to, part))
  end
end
redis.call('RENAME', key('run', run), key('run', to))

for _, list in ipairs({key('runs'), key('names'), key('open'), key('open', name), key('ready', name, f[2]),
  key('later', name)}) do
  local score = redis.call('ZSCORE', list, run)
  if score then
    redis.call('ZREM', list, run)
    redis.call('ZADD', list, score, to)
  end
end
for _, set in ipairs({key('judge', name), key('cancel', name), key('collect', name), key('inline', name)}) do
  if redis.call('SREM', set, run) == 1 then redis.call('SADD', set, to) end
end
redis.call('HDEL', key('doubted', name), run)

local submission, number = string.match(to, '^(.*)%-(%d+)$')
local last = tonumber(redis.call('HGET', key('submissions'), submission) or '0')
redis.call('HSET', key('submissions'), submission, math.max(last, tonumber(number)))
redis.call('HSET', key('destinations'), f[3], to)
for i = 8, #ARGV do
  if redis.call('HGET', key('directories'), ARGV[i]) == run then redis.call('HSET', key('directories'), ARGV[i], to) end
end
redis.call('SET', key('renamed', run), to, 'EX', ARGV[7])
tell_run(to, now, 'it was run ' .. run .. ' until its number was found to belong to an older run')
return 1
