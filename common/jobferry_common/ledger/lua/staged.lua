-- The files of claimed jobs are at their cluster: they may be submitted.
-- ARGV: run, cluster, jobs…; answers how many were still claimed
local run, cluster = ARGV[1], ARGV[2]
if redis.call('EXISTS', key('run', run)) == 0 then return 0 end
local claims, due = held_by(run, cluster)
local moved = 0
for i = 3, #ARGV do
  if redis.call('ZREM', claims, ARGV[i]) == 1 then
    redis.call('ZADD', due, 0, ARGV[i])
    moved = moved + 1
  end
end
place(run)
return moved
