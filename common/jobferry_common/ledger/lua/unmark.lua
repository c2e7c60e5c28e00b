-- Takes a run's marks off its directories, where no later run has put its own.
-- ARGV: run, heir (another run whose results are still to come there; '' for none), marks…
local run, heir, directories = ARGV[1], ARGV[2], key('directories')
for start = 3, #ARGV, 1000 do
  local last = math.min(start + 999, #ARGV)
  local mine = {}
  for i, holder in ipairs(redis.call('HMGET', directories, unpack(ARGV, start, last))) do
    if holder == run then mine[#mine + 1] = ARGV[start + i - 1] end
  end
  if #mine > 0 and heir ~= '' and occupies(heir, '') then
    for _, mark in ipairs(mine) do redis.call('HSET', directories, mark, heir) end
  elseif #mine > 0 then
    redis.call('HDEL', directories, unpack(mine))
  end
end
return 1
