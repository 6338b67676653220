-- Add news that moves nothing (an artifact), if the attempt that speaks is the running one.
-- ARGV: events_kept, id, attempt, event, data (JSON), then record fields
-- Returns {'noted'} or {'stale'}
local kept, id, speaker, event, data = unpack(ARGV, 1, 5)
local key = task_key(id)
local record = redis.call('HMGET', key, 'state', 'attempt')
if not record[1] or record[2] ~= speaker or (record[1] ~= 'STARTED' and record[1] ~= 'PROGRESS') then
  count('stale')
  return {'stale'}
end
if #ARGV > 5 then redis.call('HSET', key, unpack(ARGV, 6)) end
-- It ends here, but for its name, and those in its place may need its slots.
if event == 'replaced' then release(kept, id) end
emit(kept, id, event, record[1], speaker, data)
return {'noted'}
