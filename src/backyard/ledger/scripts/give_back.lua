-- Give entries back to their queue at once.
-- ARGV: events_kept, reason, evidence of what happened (JSON; '' none), then triples of queue, lane, entry id
local evidence = ARGV[3] ~= '' and {[''] = ARGV[3]} or nil
for i = 4, #ARGV, 3 do give_back(ARGV[1], ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[2], evidence) end
return 1
