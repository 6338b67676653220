-- A cancelled task is over: did it stop, was it killed, or did it end by itself before either? Said before the end is.
local function end_cancel(kept, id, state)
  local key = task_key(id)
  local record = redis.call('HMGET', key, 'attempt', 'killed', 'cancel_by')
  if record[3] then return end
  local stage = state ~= 'REVOKED' and 'too_late' or record[2] and 'killed' or 'stopped'
  redis.call('HSET', key, 'cancel_by', stage)
  emit(kept, id, 'cancel', state, record[1] or '0', '{"stage":"' .. stage .. '"}')
end

-- A message for whoever tells Celery's canvas of the task's end.
local function keep_word(id, message)
  if redis.call('HEXISTS', task_key(id), 'untold') == 0 then redis.call('RPUSH', prefix .. 'untold', id) end
  redis.call('HSET', task_key(id), 'untold', message)
end

-- A task of Celery's canvas ended, and no worker speaks for it: keep its message, with which one tells its chord, the
-- rest of its chain and its errbacks. Called while its entry or its message is still there; see untold.lua.
local function leave_word(id)
  local key = task_key(id)
  local record = redis.call('HMGET', key, 'canvas', 'message', 'queue', 'entry')
  if not record[1] or record[1] == '' then return end
  local message = record[2]
  if not message and record[4] then
    local lane, entry = string.match(record[4], '^(%a+)/(.+)$')
    local found = redis.call('XRANGE', lane_key(record[3], lane), entry, entry)
    local fields = found[1] and found[1][2] or {}
    for i = 1, #fields, 2 do if fields[i] == 'm' then message = fields[i + 1] end end
  end
  if message then keep_word(id, message) end
end

-- A task that ends, or starts where that is enough, is no longer in the way of others like it (unique: '<mode> <key>').
-- A window of time ends by itself, unless the task came to nothing.
local function forget_unique(id, unique, state)
  local mode, known = string.match(unique, '^(%S+) (.+)$')
  if mode == 'window' and state == 'SUCCESS' then return end
  redis.call('HDEL', task_key(id), 'unique')
  if redis.call('GET', prefix .. 'unique:' .. known) == id then redis.call('DEL', prefix .. 'unique:' .. known) end
end

-- What has to be known of a task that ends.
local function read_end(id)
  return redis.call('HMGET', task_key(id), 'state', 'attempt', 'cancel', 'result', 'failure', 'started', 'parked', 'held',
    'unique', 'expires', 'canvas', 'entry', 'lifetime', 'has_log', 'has_children')
end

-- A task enters a final state, with what its record holds from now on; `known` is what read_end has said before, if asked.
-- The record lives on for its lifetime, and needs its message no more. Its entry is still there.
-- Returns what the event of it says of the record.
local function finish(kept, id, state, known, ...)
  local key = task_key(id)
  redis.call('HSET', key, 'state', state, 'finished', now, ...)
  local _, _, cancel, result, failure, started, parked, held, unique, expires, canvas, entry, lifetime, log, children =
    unpack(known or read_end(id))
  for i = 1, select('#', ...), 2 do
    local name, value = select(i, ...)
    if name == 'result' then result = value elseif name == 'failure' then failure = value end
    if name == 'lifetime' then lifetime = value end
  end
  if cancel then end_cancel(kept, id, state) end
  if canvas and canvas ~= '' then
    if state == 'REVOKED' then leave_word(id) end
    -- A worker acknowledges the entry when it has told the canvas; an entry that comes back was not told of.
    if entry then redis.call('HSET', key, 'last_entry', entry) end
  end
  if parked then unpark(id) end
  if held then release(kept, id) end
  if unique then forget_unique(id, unique, state) end
  if expires then redis.call('ZREM', prefix .. 'expiry', id) end
  redis.call('HDEL', key, 'message', 'entry', 'token', 'due', 'killed', 'reason', 'retries_left')
  lifetime = lifetime or '86400'
  redis.call('EXPIRE', key, lifetime)
  if log then redis.call('EXPIRE', prefix .. 'log:' .. id, lifetime) end
  if children then redis.call('EXPIRE', prefix .. 'children:' .. id, lifetime) end
  local said = cancel and said_of(id, told('cancel')) or {}
  said[#said + 1] = '.finished'
  said[#said + 1] = now
  say(said, 'result', result)
  say(said, 'failure', failure)
  say(said, 'started', started)
  return said
end

-- A task that waits is ended when its time to start is over; see expire.lua.
local function watch_expiry(id)
  local expires = redis.call('HGET', task_key(id), 'expires')
  if expires then redis.call('ZADD', prefix .. 'expiry', expires, id) end
end

local function expire(kept, id, attempt)
  local why = attempt == '0' and 'The task had not started when its time to start ran out.'
    or 'The time to start ran out while the task waited for another attempt.'
  redis.call('ZREM', prefix .. 'due', id)
  local said = finish(kept, id, 'FAILURE', nil, 'failure', '{"kind":"expired","type":"Expired","message":"' .. why .. '"}')
  emit(kept, id, 'state', 'FAILURE', attempt, '{"kind":"expired","message":"' .. why .. '"}', said)
end
