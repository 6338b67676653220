-- Accept tasks: record, queue entry or due entry, event and Idempotency-Key, all or nothing for each task.
-- ARGV: events_kept, then for each task:
--   id, mode ('once': never twice; 'again': a final task of that id runs anew; 'again <attempt>': the running attempt
--   of that number puts its own task back for a retry, and no other may),
--   queue, lane, due ('' now, '+n' in n ms, 'n' at n ms), expires (the same form), once key, once fingerprint,
--   once lifetime (s), message, number of record fields that follow (names and values), those fields
-- Returns for each task: {outcome, id, state}, outcome one of created, exists, retried, conflict
local kept = ARGV[1]
local at = 2
local answers = {}

local function moment(text)
  if text == '' then return nil end
  if string.sub(text, 1, 1) == '+' then return now + tonumber(string.sub(text, 2)) end
  return tonumber(text)
end

while at <= #ARGV do
  local id, mode, queue, lane = ARGV[at], ARGV[at + 1], ARGV[at + 2], ARGV[at + 3]
  local due, expires = moment(ARGV[at + 4]), moment(ARGV[at + 5])
  local once, print, once_life = ARGV[at + 6], ARGV[at + 7], ARGV[at + 8]
  local message, fields = ARGV[at + 9], tonumber(ARGV[at + 10])
  local first = at + 11
  at = first + fields
  local answer
  if once ~= '' then
    local known = redis.call('GET', prefix .. 'once:' .. once)
    if known then
      local space = string.find(known, ' ', 1, true)
      local other, same = string.sub(known, 1, space - 1), string.sub(known, space + 1) == print
      answer = {same and 'exists' or 'conflict', other, redis.call('HGET', task_key(other), 'state') or ''}
    end
  end
  local key = task_key(id)
  local record = redis.call('HMGET', key, 'state', 'attempt', 'replaced')
  local state, attempt = record[1], record[2] or '0'
  local speaker = string.match(mode, '^again (%d+)$')
  -- A task that put others in its place (replaced) waits for the last of them, which bears its id.
  local running = (state == 'STARTED' or state == 'PROGRESS') and (speaker == attempt or (not speaker and record[3]))
  local over = state == 'SUCCESS' or state == 'FAILURE' or state == 'REVOKED'
  if not answer and state and (mode == 'once' or not (running or over)) then answer = {'exists', id, state} end
  if not answer and running and redis.call('HEXISTS', key, 'cancel') == 1 then
    redis.call('HSET', key, 'state', 'REVOKED')
    finish(id)
    emit(kept, id, 'state', 'REVOKED', attempt, '{"reason":"cancelled"}')
    answer = {'exists', id, 'REVOKED'}
  end
  if not answer and running then
    -- Celery's own retry: the running attempt sends its task anew. It waits in the due set, if only for a moment.
    local when = due or now
    redis.call('HDEL', key, 'lost', 'replaced')
    redis.call('HSET', key, 'state', 'RETRY', 'due', when, 'message', message, 'queue', queue, 'lane', lane,
      unpack(ARGV, first, first + fields - 1))
    redis.call('ZADD', prefix .. 'due', when, id)
    emit(kept, id, 'state', 'RETRY', attempt, '{"due":' .. when .. '}')
    answer = {'retried', id, 'RETRY'}
  end
  if not answer then
    if over then
      redis.call('HDEL', key, 'result', 'failure', 'exception', 'celery', 'started', 'finished', 'progress', 'label', 'cancel',
        'traceback', 'custom', 'lost', 'expires')
      redis.call('PERSIST', key)
      redis.call('PERSIST', prefix .. 'log:' .. id)
    end
    local to = due and due > now and 'SCHEDULED' or 'PENDING'
    redis.call('HSET', key, 'state', to, 'queue', queue, 'lane', lane, 'attempt', attempt, 'created', now,
      unpack(ARGV, first, first + fields - 1))
    if expires then redis.call('HSET', key, 'expires', expires) end
    redis.call('ZADD', prefix .. 'tasks', now, id)
    if to == 'SCHEDULED' then
      redis.call('HSET', key, 'due', due, 'message', message)
      redis.call('ZADD', prefix .. 'due', due, id)
      emit(kept, id, 'state', to, attempt, '{"due":' .. due .. '}')
    else
      enqueue(queue, lane, id, message, '0')
      emit(kept, id, 'state', to, attempt, 'null')
    end
    if once ~= '' then redis.call('SET', prefix .. 'once:' .. once, id .. ' ' .. print, 'EX', once_life) end
    answer = {'created', id, to}
  end
  answers[#answers + 1] = answer
end
return answers
