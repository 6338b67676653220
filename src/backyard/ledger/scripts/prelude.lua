-- Put before every script. KEYS[1] is the yard's prefix; all times are the server's own, in milliseconds.
local prefix = KEYS[1]
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local GROUP = 'workers'
local LANES = {'again', 'high', 'normal', 'low'}

local function task_key(id) return prefix .. 'task:' .. id end
local function lane_key(queue, lane) return prefix .. 'queue:' .. queue .. ':' .. lane end
local function count(name, by) redis.call('HINCRBY', prefix .. 'counts', name, by or 1) end

-- One line of news: on the stream for all, on the task's channel for those who wait for it.
local function emit(kept, id, event, state, attempt, data)
  local entry = redis.call('XADD', prefix .. 'events', 'MAXLEN', '~', kept, '*',
    'task', id, 'event', event, 'state', state, 'attempt', attempt, 'data', data)
  redis.call('PUBLISH', task_key(id), '{"event_id":"' .. entry .. '","task_id":' .. cjson.encode(id)
    .. ',"event":"' .. event .. '","state":"' .. state .. '","attempt":' .. attempt .. ',"data":' .. data .. '}')
  return entry
end

-- Put a message into a lane, and note in the record which entry is the task's living one.
local function enqueue(queue, lane, id, message, again)
  local key = lane_key(queue, lane)
  redis.call('SADD', prefix .. 'queues', queue)
  local entry = redis.call('XADD', key, '*', 't', id, 'm', message, 'r', again)
  if id ~= '' then redis.call('HSET', task_key(id), 'entry', lane .. '/' .. entry) end
  return entry
end

-- A reader's group is made on first use and again after a flush; it starts at the stream's beginning.
local function ensure_group(key)
  local made = redis.pcall('XGROUP', 'CREATE', key, GROUP, '0', 'MKSTREAM')
  if type(made) == 'table' and made.err and not string.find(made.err, 'BUSYGROUP', 1, true) then error(made.err) end
end

local function drop_entry(key, entry)
  redis.pcall('XACK', key, GROUP, entry)
  redis.call('XDEL', key, entry)
end

-- A final record lives on for its lifetime, and needs its message no more.
local function finish(id)
  local key = task_key(id)
  redis.call('HDEL', key, 'message', 'entry', 'token', 'due')
  redis.call('HSET', key, 'finished', now)
  local lifetime = tonumber(redis.call('HGET', key, 'lifetime') or '86400')
  redis.call('EXPIRE', key, lifetime)
  redis.call('EXPIRE', prefix .. 'log:' .. id, lifetime)
end

-- Give one entry of a lane back to its queue: first in line, with the record put back to PENDING.
-- An entry that is not its task's living one (a doubled, retried or final task) is dropped instead, and so is one whose
-- task was told to stop while it ran: it has stopped now.
local function give_back(kept, queue, lane, entry, reason)
  local key = lane_key(queue, lane)
  local found = redis.call('XRANGE', key, entry, entry)
  if #found == 0 then redis.pcall('XACK', key, GROUP, entry) return 'gone' end
  local fields = found[1][2]
  local id, message
  for i = 1, #fields, 2 do
    if fields[i] == 't' then id = fields[i + 1] elseif fields[i] == 'm' then message = fields[i + 1] end
  end
  local outcome = 'returned'
  if id and id ~= '' then
    local record = redis.call('HMGET', task_key(id), 'state', 'attempt', 'entry', 'lost', 'cancel')
    local state = record[1]
    if not state or record[3] ~= lane .. '/' .. entry then
      outcome = 'dropped'
    elseif (state == 'STARTED' or state == 'PROGRESS') and record[5] then
      redis.call('HSET', task_key(id), 'state', 'REVOKED')
      finish(id)
      emit(kept, id, 'state', 'REVOKED', record[2], '{"reason":"cancelled"}')
      outcome = 'dropped'
    elseif state == 'STARTED' or state == 'PROGRESS' then
      -- A task that asked for it was not lost.
      local lost = tonumber(record[4] or '0') + (reason == 'asked' and 0 or 1)
      redis.call('HSET', task_key(id), 'state', 'PENDING', 'lost', lost)
      redis.call('HDEL', task_key(id), 'progress', 'label', 'custom')
      emit(kept, id, 'state', 'PENDING', record[2], '{"reason":"' .. reason .. '"}')
    elseif state ~= 'PENDING' then
      outcome = 'dropped'
    end
  end
  drop_entry(key, entry)
  if outcome == 'returned' then enqueue(queue, 'again', id or '', message or '', '1') end
  count(outcome)
  return outcome
end
