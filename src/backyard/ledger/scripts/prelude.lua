-- Put before every script. KEYS[1] is the yard's prefix; all times are the server's own, in milliseconds.
local prefix = KEYS[1]
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local GROUP = 'workers'
local LANES = {'again', 'high', 'normal', 'low'}

local function task_key(id) return prefix .. 'task:' .. id end
local function lane_key(queue, lane) return prefix .. 'queue:' .. queue .. ':' .. lane end
local function count(name, by) redis.call('HINCRBY', prefix .. 'counts', name, by or 1) end

-- What the stream says of the record beside the event, so that history can be written from the stream alone: by the
-- state, and 'born' when a task is accepted. Values that are longer are left out, and read from the record.
local INLINE = 4096
local ENDED = {'result', 'failure', 'started', 'finished', 'cancel', 'cancel_seen', 'cancel_by', 'cancel_reason'}
local TOLD = {
  born = {'name', 'queue', 'lane', 'created', 'due', 'expires', 'input', 'tags', 'rerun_of', 'parent_id', 'root_id',
    'group_id', 'schedule', 'operation', 'webhook', 'cancel'},
  STARTED = {'started'}, SCHEDULED = {'due'},
  RETRY = {'due', 'failure', 'reason', 'retries_left', 'queue', 'lane', 'input'},
  SUCCESS = ENDED, FAILURE = ENDED, REVOKED = ENDED,
  cancel = {'cancel', 'cancel_seen', 'cancel_by', 'cancel_reason'},
}

-- As long as a keeper records the stream, it alone trims it, after it has recorded; 'most' is the far end of that.
local stream_most
local function most_events(kept)
  if not stream_most then stream_most = redis.call('HGET', prefix .. 'recorder', 'most') or kept end
  return stream_most
end

-- One line of news: on the stream for all, on the task's channel for those who wait for it.
local function emit(kept, id, event, state, attempt, data, born)
  local words = {'MAXLEN', '~', most_events(kept), '*', 'task', id, 'event', event, 'state', state,
    'attempt', attempt, 'data', data}
  local told = event == 'cancel' and TOLD.cancel or event == 'state' and TOLD[born and 'born' or state]
  if told then
    local left_out
    for i, value in ipairs(redis.call('HMGET', task_key(id), unpack(told))) do
      if value and #value > INLINE then
        left_out = left_out and left_out .. ' ' .. told[i] or told[i]
      elseif value and value ~= '' then
        words[#words + 1] = '.' .. told[i]
        words[#words + 1] = value
      end
    end
    if left_out then
      words[#words + 1] = 'left_out'
      words[#words + 1] = left_out
    end
  end
  local entry = redis.call('XADD', prefix .. 'events', unpack(words))
  local news = '{"event_id":"' .. entry .. '","task_id":' .. cjson.encode(id)
    .. ',"event":"' .. event .. '","state":"' .. state .. '","attempt":' .. attempt .. ',"data":' .. data .. '}'
  redis.call('PUBLISH', task_key(id), news)
  -- Where plain Celery apps wait; who may use the yard's names alone can do without.
  if event == 'state' or event == 'progress' then redis.pcall('PUBLISH', 'celery-task-meta-' .. id, news) end
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

-- Limits. A task that meets a full one is parked at it: PENDING without an entry, its message in the record. It keeps the
-- slots of the limits that come earlier in the one fixed order, from the narrowest to the widest, so that nobody waits in
-- a circle, and a slot that is given up goes to the best of those parked for it, which then cannot lose it any more.
-- Limits that open with time (rates) or by a person (pauses) are gates: promote.lua looks after them.
local RANK = {high = 0, normal = 1, low = 2}
local function book_of(limit)
  return prefix .. ((string.find(limit, '^rate:') or string.find(limit, '^paused:')) and 'gates' or 'limits')
end

-- Entries of a lane that are handed out to nobody.
local function ready_in(key)
  local held = redis.pcall('XPENDING', key, GROUP)
  return redis.call('XLEN', key) - ((held.err or not held[1]) and 0 or held[1])
end

-- Whether no higher lane of a queue has something ready. Then what was woken may go first, for it has waited already.
local function may_lead(queue, lane)
  for _, before in ipairs({'high', 'normal'}) do
    if before == lane then return true end
    if ready_in(lane_key(queue, before)) > 0 then return false end
  end
  return true
end

-- Queue the best of those parked at a limit: those of the highest lane, then the oldest; each with a slot of the limit, if
-- it has some to give. Returns how many.
local function wake(limit, most, slot)
  local parked = prefix .. 'parked:' .. limit
  local woken = 0
  for _ = 1, most do
    local id = redis.call('ZPOPMIN', parked)[1]
    if not id then break end
    local key = task_key(id)
    local record = redis.call('HMGET', key, 'state', 'queue', 'lane', 'message', 'parked', 'held', 'attempt')
    if record[5] == limit then
      redis.call('HDEL', key, 'parked', 'message')
      redis.call('SREM', prefix .. 'parked_of:' .. record[2], id)
    end
    if record[5] == limit and record[1] == 'PENDING' and record[4] then
      if slot then
        redis.call('ZADD', prefix .. 'slots:' .. limit, now, id)
        redis.call('HSET', key, 'held', record[6] and record[6] .. ' ' .. limit or limit)
      end
      local lane = slot and may_lead(record[2], record[3]) and 'again' or record[3]
      enqueue(record[2], lane, id, record[4], record[7] ~= '0' and '1' or '0')
      woken = woken + 1
    end
  end
  if redis.call('EXISTS', parked) == 0 then redis.call('HDEL', book_of(limit), limit) end
  return woken
end

-- Hand free slots of a limit to those parked for them.
local function hand_on(limit)
  local most = redis.call('HGET', prefix .. 'limits', limit)
  if not most then return end
  local room = tonumber(most) - redis.call('ZCARD', prefix .. 'slots:' .. limit)
  if room > 0 then wake(limit, math.min(room, 100), true) end
end

-- Give up the slots that a task holds, but for those to be kept (names as keys), to those parked for them.
local function release(kept, id, keep)
  local held = redis.call('HGET', task_key(id), 'held')
  if not held then return end
  local stay, free = {}, {}
  for limit in string.gmatch(held, '%S+') do
    if keep and keep[limit] then
      stay[#stay + 1] = limit
    else
      redis.call('ZREM', prefix .. 'slots:' .. limit, id)
      free[#free + 1] = limit
    end
  end
  if #stay == 0 then
    redis.call('HDEL', task_key(id), 'held')
  else
    redis.call('HSET', task_key(id), 'held', table.concat(stay, ' '))
  end
  for _, limit in ipairs(free) do hand_on(limit) end
end

-- A parked task waits no more. Its message stays in the record.
local function unpark(id)
  local key = task_key(id)
  local record = redis.call('HMGET', key, 'parked', 'queue')
  local limit = record[1]
  if not limit then return end
  redis.call('HDEL', key, 'parked')
  redis.call('ZREM', prefix .. 'parked:' .. limit, id)
  redis.call('SREM', prefix .. 'parked_of:' .. record[2], id)
  if redis.call('EXISTS', prefix .. 'parked:' .. limit) == 0 then redis.call('HDEL', book_of(limit), limit) end
end

-- Park a task at a limit, with what the limit's book says of it, and give up all slots but those to be kept.
-- Returns whether it was: a task without an entry has no message that could wait.
local function park(kept, id, limit, said, keep)
  local key = task_key(id)
  local record = redis.call('HMGET', key, 'queue', 'lane', 'created', 'entry')
  local lane, entry = string.match(record[4] or '', '^(%a+)/(.+)$')
  local place = lane and lane_key(record[1], lane)
  local found = lane and redis.call('XRANGE', place, entry, entry)[1]
  if not found then return false end
  local message = ''
  for i = 1, #found[2], 2 do if found[2][i] == 'm' then message = found[2][i + 1] end end
  drop_entry(place, entry)
  redis.call('HDEL', key, 'entry')
  redis.call('HSET', key, 'parked', limit, 'message', message)
  redis.call('ZADD', prefix .. 'parked:' .. limit, string.format('%.0f', (RANK[record[2]] or 1) * 1e13 + record[3]), id)
  redis.call('HSET', book_of(limit), limit, said)
  redis.call('SADD', prefix .. 'parked_of:' .. record[1], id)
  count('limited')
  release(kept, id, keep)
  return true
end

-- Tokens that a rate has to give now, and its theoretical arrival time. Source: the generic cell rate algorithm (GCRA),
-- ITU-T I.371, in its virtual scheduling form.
local function tokens(limit, interval, burst)
  local at = math.max(tonumber(redis.call('HGET', prefix .. 'rates', limit) or '0'), now)
  return math.floor((now - at) / interval + burst + 1e-6), at
end

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

-- A worker acknowledges the entry of a canvas task when it has told the canvas; an entry that comes back was not told of.
local function note_last(id)
  local record = redis.call('HMGET', task_key(id), 'canvas', 'entry')
  if record[1] and record[1] ~= '' and record[2] then redis.call('HSET', task_key(id), 'last_entry', record[2]) end
end

-- A final record lives on for its lifetime, and needs its message no more. Its new state is in it, its entry still there.
-- ARGV[1] of every script that ends tasks is events_kept.
local function finish(id)
  local key = task_key(id)
  local ended = redis.call('HMGET', key, 'state', 'cancel', 'parked', 'held', 'unique', 'expires')
  if ended[2] then end_cancel(ARGV[1], id, ended[1]) end
  if ended[1] == 'REVOKED' then leave_word(id) end
  note_last(id)
  if ended[3] then unpark(id) end
  if ended[4] then release(ARGV[1], id) end
  if ended[5] then forget_unique(id, ended[5], ended[1]) end
  if ended[6] then redis.call('ZREM', prefix .. 'expiry', id) end
  redis.call('HDEL', key, 'message', 'entry', 'token', 'due', 'killed', 'reason', 'retries_left')
  redis.call('HSET', key, 'finished', now)
  local lifetime = tonumber(redis.call('HGET', key, 'lifetime') or '86400')
  redis.call('EXPIRE', key, lifetime)
  redis.call('EXPIRE', prefix .. 'log:' .. id, lifetime)
  redis.call('EXPIRE', prefix .. 'children:' .. id, lifetime)
end

-- A task that waits is ended when its time to start is over; see expire.lua.
local function watch_expiry(id)
  local expires = redis.call('HGET', task_key(id), 'expires')
  if expires then redis.call('ZADD', prefix .. 'expiry', expires, id) end
end

local function expire(kept, id, attempt)
  local why = attempt == '0' and 'The task had not started when its time to start ran out.'
    or 'The time to start ran out while the task waited for another attempt.'
  redis.call('HSET', task_key(id), 'state', 'FAILURE', 'failure',
    '{"kind":"expired","type":"Expired","message":"' .. why .. '"}')
  redis.call('ZREM', prefix .. 'due', id)
  finish(id)
  emit(kept, id, 'state', 'FAILURE', attempt, '{"kind":"expired","message":"' .. why .. '"}')
end

-- The running attempt knows that it is to stop.
local function see_cancel(kept, id, state, attempt)
  if redis.call('HSETNX', task_key(id), 'cancel_seen', now) == 1 then
    emit(kept, id, 'cancel', state, attempt, '{"stage":"seen"}')
  end
end

-- The children of a cancelled task are to be gone through, once.
local function mark_tree(id)
  if redis.call('HSETNX', task_key(id), 'cancel_tree', 1) == 1 and redis.call('EXISTS', prefix .. 'children:' .. id) == 1 then
    redis.call('RPUSH', prefix .. 'cancelling', '0 ' .. id)
  end
end

-- Cancel a task: a waiting one is over at once, a running one is told. With tree, its children are as well, step by step.
-- A gentle cancel never comes to force, unless another is not gentle.
-- Returns {outcome, state}: cancelled, requested, final, unknown
local function cancel_task(kept, id, tree, reason, gentle)
  local key = task_key(id)
  local record = redis.call('HMGET', key, 'state', 'attempt', 'queue', 'entry', 'cancel')
  local state, attempt = record[1], record[2] or '0'
  if not state then return {'unknown', ''} end
  if state == 'SUCCESS' or state == 'FAILURE' or state == 'REVOKED' then return {'final', state} end
  if tree then mark_tree(id) end
  if not record[5] then
    redis.call('HSET', key, 'cancel', now)
    if reason then redis.call('HSET', key, 'cancel_reason', reason) end
  end
  if state == 'STARTED' or state == 'PROGRESS' then
    if not gentle then
      redis.call('HDEL', key, 'gentle')
    elseif not record[5] then
      redis.call('HSET', key, 'gentle', 1)
    end
    if not record[5] then emit(kept, id, 'cancel', state, attempt, '{"stage":"requested"}') end
    return {'requested', state}
  end
  redis.call('HSET', key, 'state', 'REVOKED')
  redis.call('ZREM', prefix .. 'due', id)
  finish(id)
  if record[4] then
    local lane, entry = string.match(record[4], '^(%a+)/(.+)$')
    drop_entry(lane_key(record[3], lane), entry)
  end
  emit(kept, id, 'state', 'REVOKED', attempt, '{"reason":"cancelled"}')
  return {'cancelled', 'REVOKED'}
end

-- Go on cancelling the children of cancelled tasks, at most about so many. The list holds '<cursor> <id>', a task whose
-- children are gone through from there on, and 'self <id>', a task that is to be cancelled. Returns what is left on it.
local function descend(kept, most)
  local list = prefix .. 'cancelling'
  local done = 0
  local function cancel_child(id, parent)
    local outcome = cancel_task(kept, id, true, parent and 'Its parent ' .. parent .. ' was cancelled.')[1]
    -- What is over may have submitted what is not.
    if outcome == 'final' then mark_tree(id) end
    done = done + 1
  end
  while done < most do
    local row = redis.call('LPOP', list)
    if not row then return 0 end
    local cursor, id = string.match(row, '^(%w+) (.*)$')
    if cursor == 'self' then
      cancel_child(id, redis.call('HGET', task_key(id), 'under') or nil)
    else
      local found = redis.call('SSCAN', prefix .. 'children:' .. id, cursor, 'COUNT', most)
      for _, child in ipairs(found[2]) do cancel_child(child, id) end
      if found[1] ~= '0' then redis.call('LPUSH', list, found[1] .. ' ' .. id) end
      done = done + 1
    end
  end
  return redis.call('LLEN', list)
end

-- A final task runs anew.
local function forget_cancel(id)
  redis.call('HDEL', task_key(id), 'cancel', 'cancel_seen', 'cancel_by', 'cancel_reason', 'cancel_tree', 'cancel_held',
    'gentle', 'under')
  redis.call('DEL', prefix .. 'children:' .. id)
end

-- A task was submitted from inside another, or by the success of one: note whose child it is. A parent that has been
-- cancelled with its children gets no more of them.
local function adopt(id)
  local under = redis.call('HGET', task_key(id), 'parent_id')
  for _ = 1, 16 do
    if not under or under == '' or under == id then return end
    local parent = redis.call('HMGET', task_key(under), 'state', 'parent_id', 'cancel_tree')
    if not parent[1] or parent[1] == 'FAILURE' or parent[1] == 'REVOKED' then return end
    if parent[1] ~= 'SUCCESS' then
      redis.call('SADD', prefix .. 'children:' .. under, id)
      redis.call('HSET', task_key(id), 'under', under)
      if parent[3] then redis.call('RPUSH', prefix .. 'cancelling', 'self ' .. id) end
      return
    end
    under = parent[2]
  end
end

-- What ended a process under a task: which attempt that was, when, and what is known of it (JSON). Ten are kept.
local function keep_evidence(id, attempt, reason, known)
  local readable, item = pcall(cjson.decode, known or '{}')
  if not readable or type(item) ~= 'table' then item = {} end
  local record = redis.call('HMGET', task_key(id), 'evidence', 'worker')
  item.attempt, item.reason, item.at = tonumber(attempt), reason, now / 1000
  item.worker = item.worker or record[2] or nil
  local list
  readable, list = pcall(cjson.decode, record[1] or '[]')
  if not readable or type(list) ~= 'table' then list = {} end
  list[#list + 1] = item
  if #list > 10 then table.remove(list, 1) end
  redis.call('HSET', task_key(id), 'evidence', cjson.encode(list))
end

-- End a task that took its own process or its worker with it as often as it may; says whether it did.
local function quarantined(kept, id, attempt, losses, crashes, kind)
  local key = task_key(id)
  local record = redis.call('HMGET', key, 'lost', 'crashed', 'evidence')
  local lost, crashed = tonumber(record[1] or '0'), tonumber(record[2] or '0')
  local why
  if crashed >= tonumber(crashes) then
    why = 'The process that ran the task died under it, ' .. crashed .. (crashed == 1 and ' time.' or ' times.')
  elseif lost >= tonumber(losses) then
    why = 'The worker that ran the task was lost with it, ' .. lost .. (lost == 1 and ' time.' or ' times.')
  else
    return false
  end
  local failure = '{"kind":"' .. kind .. '","type":"' .. (kind == 'quarantined' and 'Quarantined' or 'WorkerLost')
    .. '","message":"' .. why .. '"' .. (record[3] and ',"evidence":' .. record[3] or '') .. '}'
  redis.call('HSET', key, 'state', 'FAILURE', 'failure', failure)
  finish(id)
  emit(kept, id, 'state', 'FAILURE', attempt, '{"kind":"' .. kind .. '","message":"' .. why .. '"}')
  count(kind)
  return true
end

-- Whether a task has lost half as many workers as it may. Suspects run one at a time: whoever ran beside the culprit is
-- not lost with it again, and only the culprit gets to the limit.
local function suspect(id, losses)
  return 2 * tonumber(redis.call('HGET', task_key(id), 'lost') or '0') >= tonumber(losses)
end

-- Somebody renews: after a silence of all (the server was away or frozen) nobody is declared dead for one lease.
local function beat(lease)
  local pulse = prefix .. 'pulse'
  local last = tonumber(redis.call('HGET', pulse, 'last') or '0')
  if now - last > lease / 2 then redis.call('HSET', pulse, 'grace', now + lease) end
  redis.call('HSET', pulse, 'last', now, 'lease', lease)
end

-- Give one entry of a lane back to its queue: first in line, with the record put back to PENDING.
-- Reasons that count: 'crashed', the process that ran the task died, and 'worker_lost', its whole worker did.
-- An entry that is not its task's living one (a doubled, retried or final task) is dropped instead, and so is one whose
-- task was told to stop while it ran: it has stopped now.
local COUNTED = {crashed = 'crashed', worker_lost = 'lost'}
local function give_back(kept, queue, lane, entry, reason, evidence)
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
    local record = redis.call('HMGET', task_key(id), 'state', 'attempt', 'entry', 'cancel', 'last_entry')
    local state = record[1]
    if (state == 'SUCCESS' or state == 'FAILURE') and record[5] == lane .. '/' .. entry then
      keep_word(id, message or '')  -- its worker died between storing the outcome and telling the canvas
      outcome = 'dropped'
    elseif not state or record[3] ~= lane .. '/' .. entry then
      outcome = 'dropped'
    elseif (state == 'STARTED' or state == 'PROGRESS') and record[4] then
      redis.call('HSET', task_key(id), 'state', 'REVOKED')
      finish(id)
      emit(kept, id, 'state', 'REVOKED', record[2], '{"reason":"cancelled"}')
      outcome = 'dropped'
    elseif state == 'STARTED' or state == 'PROGRESS' then
      if COUNTED[reason] then
        redis.call('HINCRBY', task_key(id), COUNTED[reason], 1)
        keep_evidence(id, record[2], reason, evidence and (evidence[id] or evidence['']))
      end
      redis.call('HSET', task_key(id), 'state', 'PENDING')
      redis.call('HDEL', task_key(id), 'progress', 'label', 'custom')
      watch_expiry(id)
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

-- Give back what a dead consumer holds, and forget the consumer; at most so many entries.
-- Evidence is known by task id, or by '' for all. Returns entries given back, and whether more are left.
local function bury(kept, consumer, queues, most, reason, evidence)
  local back = 0
  for _, queue in ipairs(queues) do
    for _, lane in ipairs(LANES) do
      local key = lane_key(queue, lane)
      local pending = redis.pcall('XPENDING', key, GROUP, '-', '+', most - back + 1, consumer)
      if not pending.err then
        for _, row in ipairs(pending) do
          if back >= most then return back, true end
          give_back(kept, queue, lane, row[1], reason, evidence)
          back = back + 1
        end
        -- An empty consumer is forgotten; one that holds entries never is, since they would be lost with it.
        redis.pcall('XGROUP', 'DELCONSUMER', key, GROUP, consumer)
      end
    end
  end
  redis.call('ZREM', prefix .. 'leases', consumer)
  return back, false
end
