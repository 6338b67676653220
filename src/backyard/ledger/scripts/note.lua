-- Add news that moves nothing (a log line, an artifact), if the attempt that speaks is the running one.
-- ARGV: events_kept, id, attempt, event, data (JSON), '1' to keep it in the task's log, lines kept, then record fields
-- Returns {'noted'} or {'stale'}
local kept, id, speaker, event, data, logged, lines = unpack(ARGV, 1, 7)
local key = task_key(id)
local record = redis.call('HMGET', key, 'state', 'attempt')
if not record[1] or record[2] ~= speaker or (record[1] ~= 'STARTED' and record[1] ~= 'PROGRESS') then
  count('stale')
  return {'stale'}
end
if #ARGV > 7 then redis.call('HSET', key, unpack(ARGV, 8)) end
-- It ends here, but for its name, and those in its place may need its slots.
if event == 'replaced' then release(kept, id) end
if logged == '1' then
  redis.call('RPUSH', prefix .. 'log:' .. id, data)
  redis.call('LTRIM', prefix .. 'log:' .. id, -tonumber(lines), -1)
end
emit(kept, id, event, record[1], speaker, data)
return {'noted'}
