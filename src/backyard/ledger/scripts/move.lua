-- Apply one row of the state table to one task, with what the record is to hold from now on.
-- ARGV: events_kept, id, states it may leave (',A,B,'), state it enters, the attempt that speaks,
--   '1' if the new state is final, name of the event, its data (JSON), then names and values of record fields
-- Returns {'moved', state, attempt, cancel flag}, or {reason, state, attempt}: unknown, refused, stale, repeated
local kept, id, leaves, to, speaker, final, event, data = unpack(ARGV, 1, 8)
local key = task_key(id)
local record = final == '1' and read_end(id) or redis.call('HMGET', key, 'state', 'attempt', 'cancel')
local state, attempt = record[1], record[2] or '0'
if not state then return {'unknown', '', 0} end
if speaker ~= attempt then count('stale') return {'stale', state, tonumber(attempt)} end
if not string.find(leaves, ',' .. state .. ',', 1, true) then
  -- The answer to this very move was lost on the way, and it is sent again.
  if state == to then return {'repeated', state, tonumber(attempt)} end
  count('refused')
  return {'refused', state, tonumber(attempt)}
end
local said
if final == '1' then
  said = finish(kept, id, to, record, unpack(ARGV, 9))
else
  redis.call('HSET', key, 'state', to, unpack(ARGV, 9))
  -- The answer tells the attempt.
  if record[3] and to == 'PROGRESS' then see_cancel(kept, id, to, attempt) end
end
emit(kept, id, event, to, attempt, data, said)
return {'moved', to, tonumber(attempt), record[3] and 1 or 0}
