-- Queue a message that is no task (kombu users may send any). ARGV: queue, lane, message
return append(ARGV[1], ARGV[2], '', ARGV[3], '0')
