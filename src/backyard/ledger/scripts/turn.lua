-- Take turns where there is much to do for any worker: one goes on, the others have looked and leave it. It is no lock:
-- who has the turn and dies has it for some milliseconds. ARGV: who asks, milliseconds. Returns 1 if it may go on
local place = prefix .. 'pulse'
local row = redis.call('HMGET', place, 'turn_of', 'turn_until')
if row[1] and row[1] ~= ARGV[1] and now < tonumber(row[2]) then return 0 end
redis.call('HSET', place, 'turn_of', ARGV[1], 'turn_until', now + tonumber(ARGV[2]))
return 1
