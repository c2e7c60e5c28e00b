-- Takes a run's directories back, so that its results may be brought there once more.
-- ARGV: run, marks…; answers the run that has one of them, '' if all are this run's or those of its destination.
local run, directories = ARGV[1], key('directories')
local destination = redis.call('HGET', key('run', run), 'destination')
for start = 2, #ARGV, 1000 do
  local fields = {}
  for i, holder in ipairs(redis.call('HMGET', directories, unpack(ARGV, start, math.min(start + 999, #ARGV)))) do
    local other = holder and holder ~= run and occupies(holder, '')
    if other and redis.call('HGET', key('run', holder), 'destination') ~= destination then return holder end
    if not other then
      fields[#fields + 1] = ARGV[start + i - 1]
      fields[#fields + 1] = run
    end
  end
  if #fields > 0 then redis.call('HSET', directories, unpack(fields)) end
end
return ''
