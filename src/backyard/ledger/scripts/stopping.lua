-- Find which of the attempts that run somewhere are to stop. ARGV: pairs of id and attempt. Returns the ids of those
-- An attempt that speaks no more is to stop as well; see asked.lua, by which an attempt also says that it knows.
local found = {}
for i = 1, #ARGV, 2 do
  local record = redis.call('HMGET', task_key(ARGV[i]), 'state', 'attempt', 'cancel')
  local speaks = record[2] == ARGV[i + 1] and (record[1] == 'STARTED' or record[1] == 'PROGRESS')
  if record[1] and (record[3] or not speaks) then found[#found + 1] = ARGV[i] end
end
return found
