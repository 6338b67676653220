-- Answer an attempt that asks whether it is to stop, and note that it knows now. One that speaks no more is to stop too.
-- ARGV: events_kept, id, attempt. Returns 1 or 0
local record = redis.call('HMGET', task_key(ARGV[2]), 'state', 'attempt', 'cancel')
if not record[1] then return 0 end
if record[2] ~= ARGV[3] or (record[1] ~= 'STARTED' and record[1] ~= 'PROGRESS') then return 1 end
if not record[3] then return 0 end
see_cancel(ARGV[1], ARGV[2], record[1], record[2])
return 1
