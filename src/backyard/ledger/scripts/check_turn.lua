-- Take the next slice of the check that all workers of a yard walk together, if the last was long enough ago.
-- ARGV: pause (ms). Returns the place to go on from, '' for the beginning, or nil where it is not time yet.
-- Nobody holds the turn: a worker that dies in its slice has only skipped it, until the next round.
local check = prefix .. 'check'
if now < tonumber(redis.call('HGET', check, 'turn') or '0') + tonumber(ARGV[1]) then return nil end
redis.call('HSET', check, 'turn', now)
return redis.call('HGET', check, 'place') or ''
