-- Takes a run's marks off its directories, where no later run has put its own.
-- ARGV: run, marks…
local run, directories = ARGV[1], key('directories')
for start = 2, #ARGV, 1000 do
  local last = math.min(start + 999, #ARGV)
  local mine = {}
  for i, holder in ipairs(redis.call('HMGET', directories, unpack(ARGV, start, last))) do
    if holder == run then mine[#mine + 1] = ARGV[start + i - 1] end
  end
  if #mine > 0 then redis.call('HDEL', directories, unpack(mine)) end
end
return 1
