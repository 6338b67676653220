-- Cancel tasks: a waiting one is over at once and its entry is gone; a running one is told.
-- ARGV: events_kept, '1' for their children as well, '1' to be gentle: those that run are told and never killed for it,
--   children cancelled at once, then ids
-- Returns the work that is left (see descend.lua), then for each {outcome, state}: cancelled, requested, final, unknown
local kept, tree, gentle = ARGV[1], ARGV[2] == '1', ARGV[3] == '1'
local answers = {0}
for i = 5, #ARGV do answers[#answers + 1] = cancel_task(kept, ARGV[i], tree, nil, gentle) end
if tree then answers[1] = descend(kept, tonumber(ARGV[4])) end
return answers
