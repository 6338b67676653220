-- Move an entry that no worker can run to the dead-letter stream, and end its task, if it has one that waits for it.
-- ARGV: events_kept, queue, lane, entry id, reason, the task's failure (JSON)
-- A task that runs after all goes back to its queue instead.
-- Returns 'kept' (on the dead-letter stream), 'dropped' (its task is elsewhere or over), 'returned' or 'gone'
local kept, queue, lane, entry, reason, failure = unpack(ARGV)
local key = lane_key(queue, lane)
local found = redis.call('XRANGE', key, entry, entry)
local outcome = 'gone'
if #found == 1 then
  local fields = found[1][2]
  local id = ''
  for i = 1, #fields, 2 do if fields[i] == 't' then id = fields[i + 1] end end
  local record = redis.call('HMGET', task_key(id), 'state', 'attempt', 'entry')
  local living = record[3] == lane .. '/' .. entry
  if living and (record[1] == 'STARTED' or record[1] == 'PROGRESS') then
    return give_back(kept, queue, lane, entry, 'rejected')
  end
  local waiting = living and record[1] == 'PENDING'
  outcome = (waiting or not record[1]) and 'kept' or 'dropped'
  if outcome == 'kept' then
    redis.call('XADD', prefix .. 'dead', '*', 'queue', queue, 'lane', lane, 'reason', reason, unpack(fields))
    count('set_aside')
  end
  if waiting then
    leave_word(id)
    emit(kept, id, 'state', 'FAILURE', record[2] or '0', failure, finish(kept, id, 'FAILURE', nil, 'failure', failure))
  end
end
drop_entry(key, entry)
return outcome
