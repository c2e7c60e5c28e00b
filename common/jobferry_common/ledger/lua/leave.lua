-- A cluster takes no further part in a shared run: what it claimed goes back, and it claims nothing more.
-- ARGV: run, cluster, now; answers how many clusters are left, -1 if it had no part in it
local run, cluster, now = ARGV[1], ARGV[2], ARGV[3]
if redis.call('EXISTS', key('run', run)) == 0 then return unknown(run) end
local names, shared = targets_of(run)

-- Its scheduler may have these: once it answers again, they are ended there, and what lies there is removed.
local function note_strays()
  local all, tokens = redis.call('HGETALL', key('tokens', cluster)), {}
  for i = 1, #all, 2 do
    if string.sub(all[i + 1], 1, #run + 1) == run .. '|' then tokens[#tokens + 1] = all[i] end
  end
  local known = redis.call('HGET', key('strays', cluster), run)
  if known and known ~= '' then tokens[#tokens + 1] = known end
  redis.call('HSET', key('strays', cluster), run, table.concat(tokens, ','))
end

-- No cluster is left: the run ends, and whoever may see to that does, should its user die on the way.
local function want_end_of_all()
  if not is_final(redis.call('HGET', key('run', run), 'state')) then want_end(run, now) end
  place(run)
  return 0
end

if not shared then
  if names[1] ~= cluster then return -1 end
  note_strays()
  return want_end_of_all()
end
local left = {}
for _, name in ipairs(names) do
  if name ~= cluster then left[#left + 1] = name end
end
if #left == #names then
  if redis.call('HEXISTS', key('run', run, 'places'), cluster) == 0 then return -1 end
  note_strays()
  return #left
end
note_strays()
give_up_claims(run, cluster, true)
redis.call('HSET', key('run', run, 'places'), cluster, 'given up')
-- the last one stays its target, so that somebody still sees to its end
if #left == 0 then return want_end_of_all() end
local f = redis.call('HMGET', key('run', run), 'owner', 'turn', 'n:pending')
place_at(run, cluster, f[1], f[2], f[2], false, false)
redis.call('HSET', key('run', run), 'targets', table.concat(left, ','), 'cluster', left[1])
redis.call('ZREM', key('open', cluster), run)
for _, set in ipairs({'judge', 'cancel'}) do redis.call('SREM', key(set, cluster), run) end
wait_at({cluster}, 0 - as_number(f[3]))
judge_refused(run)
place(run)
tell_run(run, now, 'cluster ' .. cluster .. ' was given up')
return #left
