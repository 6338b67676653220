-- Compare tasks with what should hold them, and put right what does not fit. Each is judged by what this very step sees,
-- and every other step leaves things fitting, so that nothing sound is ever touched, however busy the yard is.
-- ARGV: events_kept, '1' to repair, lease (ms), then for each task: id, message to queue it with where the yard has
--   none any more, failure (JSON) to end it with where nobody can tell its message
-- Returns rows {kind, id, state, '1' if repaired}; 'speechless' asks for a message or a failure.
local kept, repair, lease = ARGV[1], ARGV[2] == '1', tonumber(ARGV[3])
-- Ids that a worker tells of at most, and milliseconds after which it knows what it runs.
local SHOWN, LONG = 100, 60000
local rows = {}
local grace = tonumber(redis.call('HGET', prefix .. 'pulse', 'grace') or '0')

local function found(kind, id, state, done)
  rows[#rows + 1] = {kind, id, state, (repair and done) and '1' or '0'}
end

-- The entry that a record calls its own: '' none, 'ready' in its lane, 'held' by a consumer.
local function entry_of(record)
  local slash = record.entry and string.find(record.entry, '/', 1, true)
  if not slash then return '' end
  local key = lane_key(record.queue, string.sub(record.entry, 1, slash - 1))
  local entry = string.sub(record.entry, slash + 1)
  local there = redis.pcall('XRANGE', key, entry, entry)
  if there.err or #there == 0 then return '' end
  local pending = redis.pcall('XPENDING', key, GROUP, entry, entry, 1)
  return (pending.err or #pending == 0) and 'ready' or 'held'
end

-- Queue a task whose message is at hand; end one whose message is lost; else say that it needs one of both.
local function send(kind, id, record, message, failure)
  if message ~= '' then
    if repair then
      if record.parked then
        redis.call('HDEL', task_key(id), 'parked')
        redis.call('ZREM', prefix .. 'parked:' .. record.parked, id)
        redis.call('SREM', prefix .. 'parked_of:' .. record.queue, id)
      end
      enqueue(record.queue, record.lane or 'normal', id, message, '0')
      redis.call('HSET', task_key(id), 'state', 'PENDING')
      redis.call('HDEL', task_key(id), 'message', 'due')
      redis.call('ZREM', prefix .. 'due', id)
      emit(kept, id, 'state', 'PENDING', record.attempt, '{"reason":"check"}')
    end
    found(kind, id, record.state, true)
  elseif failure ~= '' then
    if repair then
      redis.call('ZREM', prefix .. 'due', id)
      emit(kept, id, 'state', 'FAILURE', record.attempt, failure, finish(kept, id, 'FAILURE', nil, 'failure', failure))
    end
    found('messageless', id, record.state, true)
  else
    found('speechless', id, record.state, false)
  end
end

local function check_waiting(id, record, message, failure)
  if record.state == 'PENDING' then
    if record.parked then
      -- Its limit's own row wakes it; without one nobody would.
      if record.message and redis.call('ZSCORE', prefix .. 'parked:' .. record.parked, id) then
        if redis.call('SISMEMBER', prefix .. 'parked_of:' .. record.queue, id) == 0 then
          if repair then redis.call('SADD', prefix .. 'parked_of:' .. record.queue, id) end
          found('miscounted', id, record.state, true)
        end
        return
      end
    elseif entry_of(record) ~= '' then
      return
    end
    send(record.parked and 'unparked' or 'unqueued', id, record, record.message or message, failure)
  elseif not record.message then
    -- Plain Celery apps, whose tasks have no attempts, may say RETRY and leave it at that.
    if record.state == 'SCHEDULED' or record.token then send('unqueued', id, record, message, failure) end
  elseif not redis.call('ZSCORE', prefix .. 'due', id) then
    if repair then redis.call('ZADD', prefix .. 'due', record.due or now, id) end
    found('undue', id, record.state, true)
  end
end

-- What the living workers of a name say of a task: nil where none lives, else 'runs', 'unsure' or 'forgot'.
-- A worker may take a while to notice that its pool has begun a task, so only what began long ago counts as forgotten.
local crew
local function worker_of(id, record)
  if not crew then
    crew = {}
    for _, name in ipairs(redis.call('ZRANGEBYSCORE', prefix .. 'workers', now - 3 * lease, '+inf', 'LIMIT', 0, 1000)) do
      local row = redis.call('HMGET', prefix .. 'worker:' .. name, 'beat', 'running')
      local readable, running = pcall(cjson.decode, row[2] or '')
      crew[name] = {beat = tonumber(row[1] or '0'), running = readable and running or nil}
    end
  end
  local said
  for name, one in pairs(crew) do
    -- Two processes of one name: the registry tells them apart, records do not.
    if name == record.worker or string.sub(name, 1, #record.worker + 1) == record.worker .. '-' then
      local began = tonumber(record.started or now)
      local sure = one.running and #one.running < SHOWN and one.beat > began + math.max(LONG, 6 * lease)
      said = said or (sure and 'forgot' or 'unsure')
      if not sure then said = 'unsure' end
      for _, running in ipairs(one.running or {}) do if running == id then return 'runs' end end
    end
  end
  return said
end

-- A running task is held by its entry, and run by its worker. Without the one nobody would take it over when the worker
-- dies; without the other nobody is at work on it, as after a restart of the server that lost its last second.
local function check_running(id, record, message, failure)
  -- One that put others in its place waits for the last of them, and has no entry meanwhile. One without a token was not
  -- started by the ledger: a plain Celery app's worker has it.
  if record.replaced or not record.token or now < grace then return end
  local entry, worker = entry_of(record), record.worker and worker_of(id, record)
  if entry == 'held' and worker ~= 'forgot' then return end
  if worker == 'runs' or worker == 'unsure' then
    found('unheld', id, record.state, false)
    return
  end
  if entry == '' and not record.message and message == '' then
    send('orphaned', id, record, '', failure)
    return
  end
  if repair then
    if entry == '' then enqueue(record.queue, 'again', id, record.message or message, '1') end
    local place = redis.call('HGET', task_key(id), 'entry')
    local slash = string.find(place, '/', 1, true)
    give_back(kept, record.queue, string.sub(place, 1, slash - 1), string.sub(place, slash + 1),
      worker == 'forgot' and 'orphaned' or 'worker_lost')
  end
  found('orphaned', id, record.state, true)
end

local FIELDS = {'state', 'attempt', 'queue', 'lane', 'entry', 'message', 'due', 'parked', 'replaced', 'worker', 'created',
  'started', 'finished', 'token', 'held'}
for i = 4, #ARGV, 3 do
  local id = ARGV[i]
  local key = task_key(id)
  local values = redis.pcall('HMGET', key, unpack(FIELDS))
  local record = {}
  for f, name in ipairs(FIELDS) do record[name] = values[f] or nil end
  if not record.state and redis.call('TYPE', key).ok == 'hash' then
    -- Nothing is known of it but a few fields; no step would ever touch it again.
    if repair then redis.call('DEL', key) end
    found('fragment', id, '', true)
  elseif record.state then
    record.attempt = record.attempt or '0'
    local final = record.state == 'SUCCESS' or record.state == 'FAILURE' or record.state == 'REVOKED'
    local ends = redis.call('TTL', key) >= 0
    if final and not ends then
      if repair then
        finish(kept, id, record.state)
        redis.call('HSET', key, 'finished', record.finished or now)
      end
      found('endless', id, record.state, true)
    elseif not final and ends and (record.queue or '') ~= '' then
      if repair then
        redis.call('PERSIST', key)
        redis.call('PERSIST', prefix .. 'log:' .. id)
        redis.call('PERSIST', prefix .. 'children:' .. id)
      end
      found('fading', id, record.state, true)
    end
    if not redis.call('ZSCORE', prefix .. 'tasks', id) then
      if repair then redis.call('ZADD', prefix .. 'tasks', record.created or now, id) end
      found('unlisted', id, record.state, true)
    end
    if not final and not record.lane then
      if repair then redis.call('HSET', key, 'lane', 'normal') end
      found('laneless', id, record.state, true)
    end
    if not final and record.state ~= 'RETRY' then
      for limit in string.gmatch(record.held or '', '%S+') do
        if not redis.call('ZSCORE', prefix .. 'slots:' .. limit, id) then
          if repair then redis.call('ZADD', prefix .. 'slots:' .. limit, now, id) end
          found('slotless', id, record.state, true)
        end
      end
    end
    -- A record without a queue is in the hands of a plain Celery app, which this yard cannot see.
    if not final and (record.queue or '') ~= '' then
      if record.state == 'STARTED' or record.state == 'PROGRESS' then
        check_running(id, record, ARGV[i + 1], ARGV[i + 2])
      else
        check_waiting(id, record, ARGV[i + 1], ARGV[i + 2])
      end
    end
  end
end
return rows
