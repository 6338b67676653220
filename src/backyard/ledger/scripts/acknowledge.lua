-- Drop entries that were dealt with. ARGV: triples of queue, lane, entry id
for i = 1, #ARGV, 3 do drop_entry(lane_key(ARGV[i], ARGV[i + 1]), ARGV[i + 2]) end
return 1
