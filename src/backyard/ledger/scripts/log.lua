-- Add lines to a task's log, if the attempt that speaks is the running one; each is an event of its own.
-- ARGV: events_kept, id, attempt, lines kept, then lines (JSON), oldest first
-- Returns {'noted'} or {'stale'}
local kept, id, speaker, lines = unpack(ARGV, 1, 4)
local record = redis.call('HMGET', task_key(id), 'state', 'attempt', 'has_log')
if not record[1] or record[2] ~= speaker or (record[1] ~= 'STARTED' and record[1] ~= 'PROGRESS') then
  count('stale')
  return {'stale'}
end
local log = prefix .. 'log:' .. id
if not record[3] then redis.call('HSET', task_key(id), 'has_log', 1) end
for i = 5, #ARGV do
  redis.call('RPUSH', log, ARGV[i])
  emit(kept, id, 'log', record[1], speaker, ARGV[i])
end
redis.call('LTRIM', log, -tonumber(lines), -1)
return {'noted'}
