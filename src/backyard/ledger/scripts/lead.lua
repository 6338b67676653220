-- Ask to lead a duty of the keepers, or to go on leading it. It is no lock that anything rests on: who leads and stands
-- still is followed by another when the time is up, and what both do then is told apart by its ids.
-- ARGV: duty, who asks, milliseconds it lasts ('0' gives it up). Returns 1 to the one that leads
local place = prefix .. 'lead:' .. ARGV[1]
local leader = redis.call('GET', place)
if leader and leader ~= ARGV[2] then return 0 end
if ARGV[3] == '0' then redis.call('DEL', place) return 0 end
redis.call('SET', place, ARGV[2], 'PX', ARGV[3])
return 1
