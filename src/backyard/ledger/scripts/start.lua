-- Begin an attempt. Only the task's living queue entry may start it, and only from PENDING.
-- ARGV: events_kept, id, entry ('<lane>/<entry id>', or '' where the caller has none), token of this start, worker,
--   losses a task may cause: one that took its process or worker with it as often as that ends here
-- Returns {'started', attempt} or {reason}, reason one of unknown, refused (with the state), doubled, expired, lost
local kept, id, entry, token, worker, most = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5], tonumber(ARGV[6])
local key = task_key(id)
local record = redis.call('HMGET', key, 'state', 'attempt', 'entry', 'token', 'expires', 'lost')
local state, attempt = record[1], tonumber(record[2] or '0')
if not state then return {'unknown'} end
-- The answer to this very start was lost on the way: it counts, once.
if state == 'STARTED' and record[4] == token then return {'started', attempt} end
if entry ~= '' and record[3] and record[3] ~= entry then count('doubled') return {'doubled', state} end
if state ~= 'PENDING' then count('refused') return {'refused', state} end
if record[5] and now >= tonumber(record[5]) then
  redis.call('HSET', key, 'state', 'FAILURE', 'failure',
    '{"kind":"expired","type":"Expired","message":"The task had not started when its time to start ran out."}')
  finish(id)
  emit(kept, id, 'state', 'FAILURE', attempt, '{"kind":"expired"}')
  return {'expired', 'FAILURE'}
end
if tonumber(record[6] or '0') >= most then
  redis.call('HSET', key, 'state', 'FAILURE', 'failure', cjson.encode({kind = 'worker_lost', type = 'WorkerLost',
    message = 'The process that ran the task died ' .. record[6] .. ' times in a row.'}))
  finish(id)
  emit(kept, id, 'state', 'FAILURE', attempt, '{"kind":"worker_lost"}')
  return {'lost', 'FAILURE'}
end
attempt = attempt + 1
redis.call('HSET', key, 'state', 'STARTED', 'attempt', attempt, 'token', token, 'worker', worker, 'started', now)
redis.call('HDEL', key, 'progress', 'label', 'replaced')
emit(kept, id, 'state', 'STARTED', attempt, '{"worker":' .. cjson.encode(worker) .. '}')
return {'started', attempt}
