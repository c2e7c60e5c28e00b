-- A cluster will never take jobs of a shared run: what it claimed goes back, and it claims nothing more.
-- ARGV: run, cluster, why; answers how many jobs went back
local run, cluster = ARGV[1], ARGV[2]
local state = redis.call('HGET', key('run', run), 'state')
if not state then return unknown(run) end
local given = give_up_claims(run, cluster, true, true)
if is_final(state) then return given end
redis.call('HSET', key('run', run, 'refused'), cluster, ARGV[3])
judge_refused(run)
place(run)
return given
