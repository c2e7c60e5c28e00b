-- How the work of a shared run is spread, as one of its clusters sees it.
-- ARGV: run, cluster, now
-- Answers: jobs that nobody has claimed; claimed here without their files; with them; then cluster, state, number…
local run, cluster, now = ARGV[1], ARGV[2], ARGV[3]
local names, shared = targets_of(run)
if not shared then return {0, 0, 0} end
local claims, due = held_by(run, cluster)
local open = has_refused(run, cluster) and 0 or pool_of(run, names, now)
local answer = {open, redis.call('ZCARD', claims), redis.call('ZCARD', due)}
for _, part in ipairs(redis.call('HGETALL', key('run', run, 'at'))) do answer[#answer + 1] = part end
return answer
