-- Find the running tasks that were told to stop longer ago than they are given.
-- ARGV: events_kept, milliseconds they are given, why they cannot be killed here ('' they can), then pairs of id and
--   entry ('<lane>/<entry id>') of what the caller runs
-- Returns the ids that the caller is to kill; where it cannot, the reason is noted, once
local kept, grace, reason = ARGV[1], tonumber(ARGV[2]), ARGV[3]
local found = {}
for i = 4, #ARGV, 2 do
  local id = ARGV[i]
  local key = task_key(id)
  local record = redis.call('HMGET', key, 'state', 'attempt', 'entry', 'cancel', 'cancel_seen', 'gentle')
  if (record[1] == 'STARTED' or record[1] == 'PROGRESS') and record[3] == ARGV[i + 1]
    and record[4] and not record[6] and now - tonumber(record[4]) >= grace then
    if reason == '' then
      redis.call('HSET', key, 'killed', 1)
      found[#found + 1] = id
    elseif redis.call('HSETNX', key, 'cancel_held', 1) == 1 then
      redis.call('HSET', key, 'cancel_reason', reason)
      emit(kept, id, 'cancel', record[1], record[2],
        '{"stage":"' .. (record[5] and 'seen' or 'requested') .. '","reason":' .. cjson.encode(reason) .. '}')
    end
  end
end
return found
