-- Which cluster of a shared run has not said, since the broker was restarted, what it has of it.
-- ARGV: run; answers '' if there is none
local names, shared = targets_of(ARGV[1])
return shared and unanswered(ARGV[1], names) or ''
