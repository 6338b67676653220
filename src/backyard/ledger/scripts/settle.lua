-- Record what Celery's own callers report of a task, whoever they are: it may have no record, or no running attempt.
-- A success is never overwritten, as in Celery's own backends, and a failure only by a caller without attempts.
-- ARGV: events_kept, id, state it enters, '1' if that is final, attempt that speaks ('' unknown), event, data (JSON),
--   lifetime (s) of a record that is made here ('' to make none), queue entry the speaker holds ('' none), then names and values of record
--   fields. Who names an entry speaks for that delivery alone: not after the entry was given to another, nor after the end.
-- Returns {'moved' or reason, state}; the reason is unknown where there is no record and none was to be made
local kept, id, to, final, speaker, event, data, lifetime, entry = unpack(ARGV, 1, 9)
local key = task_key(id)
local record = redis.call('HMGET', key, 'state', 'attempt', 'entry')
local state, attempt = record[1], record[2] or '0'
if not state and lifetime == '' then return {'unknown', ''} end
if speaker ~= '' and speaker ~= attempt then count('stale') return {'stale', state or ''} end
if entry ~= '' and state then
  if state == 'SUCCESS' or state == 'FAILURE' or state == 'REVOKED' then
    if state ~= to then count('refused') end
    return {state == to and 'repeated' or 'refused', state}
  end
  if record[3] and record[3] ~= entry then count('stale') return {'stale', state} end
end
-- Every worker that hears of a revoke reports it.
if state == 'REVOKED' and to == state then return {'repeated', state} end
if state == 'SUCCESS' or state == 'REVOKED'
  or (state == 'FAILURE' and to ~= state and (speaker ~= '' or to == 'REVOKED')) then
  count('refused')
  return {'refused', state}
end
if state == to and to == 'RETRY' then
  redis.call('HSET', key, unpack(ARGV, 10))  -- the retry was sent already, by the submit script; this adds why
  return {'moved', state}
end
if to == 'RETRY' and (state == 'PENDING' or state == 'SCHEDULED') then return {'refused', state} end
if not state then
  redis.call('HSET', key, 'created', now, 'lifetime', lifetime, 'attempt', '0', 'queue', '', 'name', '', 'lane', 'normal')
  redis.call('ZADD', prefix .. 'tasks', now, id)
end
if speaker == '' and (to == 'STARTED' or (final == '1' and (state or 'PENDING') == 'PENDING')) then
  -- A caller without attempts of its own (a plain Celery app on this backend): its report is the attempt.
  attempt = tostring(tonumber(attempt) + 1)
  redis.call('HSET', key, 'attempt', attempt, 'started', now)
end
if state == 'FAILURE' and final ~= '1' then
  -- A caller without attempts runs a failed task anew: its record lives without end again.
  redis.call('PERSIST', key)
  redis.call('PERSIST', prefix .. 'log:' .. id)
  redis.call('HDEL', key, 'finished', 'failure')
end
local said
if final == '1' then
  redis.call('ZREM', prefix .. 'due', id)
  said = finish(kept, id, to, nil, unpack(ARGV, 10))
else
  redis.call('HSET', key, 'state', to, unpack(ARGV, 10))
end
emit(kept, id, event, to, attempt, data, said)
return {'moved', to}
