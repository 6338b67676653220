-- Go on cancelling the children of cancelled tasks. Anybody may, at any time, as often as it takes.
-- ARGV: events_kept, most at once. Returns the work that is left.
return descend(ARGV[1], tonumber(ARGV[2]))
