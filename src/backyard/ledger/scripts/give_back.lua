-- Give entries back to their queue at once. ARGV: events_kept, reason, then triples of queue, lane, entry id
for i = 3, #ARGV, 3 do give_back(ARGV[1], ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[2]) end
return 1
