-- Accept tasks: record, queue entry or due entry, event and Idempotency-Key, all or nothing for each task.
-- ARGV: events_kept, then for each task:
--   id, mode ('once': never twice; 'again': a final task of that id runs anew; 'again <attempt>': the running attempt
--   of that number puts its own task back for a retry, and no other may; 'plain': as 'again', from a Celery app without
--   attempts, which may also send anew what was handed out to it),
--   queue, lane, due ('' now, '+n' in n ms, 'n' at n ms), expires (the same form, or '>n' n ms after it is due), once key, once fingerprint,
--   once lifetime (s), unique ('' or '<until_start, until_done or window> <key>'), its window (ms),
--   bound ('' or '<most tasks its queue may hold> <tasks that come with it in later calls>'),
--   message, number of record fields that follow (names and values), those fields
-- Returns for each task: {outcome, id, state}, outcome one of created, exists, retried, conflict; one that was created says
--   since when its record is there, and when it is due, if that is later. Where they do not fit into their queue, for each
--   {'full', id, seconds after which to try again, queue, most}, and none is accepted
local kept = ARGV[1]
local at = 2
local answers = {}

local function moment(text, after)
  if text == '' then return nil end
  if string.sub(text, 1, 1) == '+' then return now + tonumber(string.sub(text, 2)) end
  if string.sub(text, 1, 1) == '>' then return math.max(after or now, now) + tonumber(string.sub(text, 2)) end
  return tonumber(text)
end

-- Whether an entry waits in its queue, handed out to nobody.
local function ready(queue, place)
  local lane, entry = string.match(place or '', '^(%a+)/(.+)$')
  if not lane then return false end
  local key = lane_key(queue, lane)
  local held = redis.pcall('XPENDING', key, GROUP, entry, entry, 1)
  return #redis.call('XRANGE', key, entry, entry) > 0 and (held.err or #held == 0)
end

-- The earlier task that an Idempotency-Key made, and whether it was of the same input.
local function known_by(once, print)
  local known = once ~= '' and redis.call('GET', prefix .. 'once:' .. once)
  if not known then return end
  local space = string.find(known, ' ', 1, true)
  return string.sub(known, 1, space - 1), string.sub(known, space + 1) == print
end

-- The earlier task that is in the way of one that is to be unique, and its state.
local function twin_of(unique)
  if unique == '' then return end
  local mode, known = string.match(unique, '^(%S+) (.+)$')
  local other = redis.call('GET', prefix .. 'unique:' .. known)
  if not other then return end
  local record = redis.call('HMGET', task_key(other), 'state', 'attempt')
  local state, over = record[1], record[1] == 'SUCCESS' or record[1] == 'FAILURE' or record[1] == 'REVOKED'
  if not state or (over and (mode ~= 'window' or state ~= 'SUCCESS')) then return end
  if mode == 'until_start' and record[2] ~= '0' then return end
  return other, state
end

-- Seconds after which a full queue may have room: as long as a twentieth of it takes, as fast as tasks began lately.
local function relief(most)
  local starts, since = 0, now
  for _, row in ipairs(redis.call('XREVRANGE', prefix .. 'events', '+', '-', 'COUNT', 100)) do
    since = tonumber(string.match(row[1], '^(%d+)'))
    if row[2][4] == 'state' and row[2][6] == 'STARTED' then starts = starts + 1 end
  end
  if starts == 0 then return 60 end
  return math.max(1, math.min(60, math.ceil(most / 20 * (now - since) / starts / 1000)))
end

-- All or nothing: the first queue into which not all of these tasks fit, and how many it may hold.
local function find_full()
  local wanted, limits, names = {}, {}, {}
  local at = 2
  while at <= #ARGV do
    local bound = ARGV[at + 11]
    if bound ~= '' and ARGV[at + 4] == '' and not known_by(ARGV[at + 6], ARGV[at + 7]) and not twin_of(ARGV[at + 9])
      and redis.call('EXISTS', task_key(ARGV[at])) == 0 then
      local queue, most, more = ARGV[at + 2], string.match(bound, '^(%d+) (%d+)$')
      if not wanted[queue] then names[#names + 1] = queue end
      wanted[queue] = (wanted[queue] or tonumber(more)) + 1
      limits[queue] = tonumber(most)
    end
    at = at + 14 + tonumber(ARGV[at + 13])
  end
  for _, queue in ipairs(names) do
    local held = redis.call('SCARD', prefix .. 'parked_of:' .. queue)
    for _, lane in ipairs(LANES) do held = held + ready_in(lane_key(queue, lane)) end
    if held + wanted[queue] > limits[queue] then return queue, limits[queue] end
  end
end

-- The task from inside which one was submitted, as its fields say, or as they said before.
local function parent_in(fields, before)
  for i = 1, #fields, 2 do if fields[i] == 'parent_id' then return fields[i + 1] end end
  return before
end

local full, most = find_full()
if full then
  local wait = relief(most)
  count('full')
  while at <= #ARGV do
    answers[#answers + 1] = {'full', ARGV[at], tostring(wait), full, tostring(most)}
    at = at + 14 + tonumber(ARGV[at + 13])
  end
  return answers
end

while at <= #ARGV do
  local id, mode, queue, lane = ARGV[at], ARGV[at + 1], ARGV[at + 2], ARGV[at + 3]
  local due = moment(ARGV[at + 4])
  local expires = moment(ARGV[at + 5], due)
  local once, print, once_life = ARGV[at + 6], ARGV[at + 7], ARGV[at + 8]
  local unique, window = ARGV[at + 9], ARGV[at + 10]
  local message, fields = ARGV[at + 12], tonumber(ARGV[at + 13])
  local first = at + 14
  at = first + fields
  local answer
  local other, same = known_by(once, print)
  if other then answer = {same and 'exists' or 'conflict', other, redis.call('HGET', task_key(other), 'state') or ''} end
  local key = task_key(id)
  local record = mode == 'once' and {redis.call('HGET', key, 'state')}
    or redis.call('HMGET', key, 'state', 'attempt', 'replaced', 'entry', 'queue', 'token')
  local state, attempt = record[1], record[2] or '0'
  local speaker = mode ~= 'once' and string.match(mode, '^again (%d+)$')
  -- A task that put others in its place (replaced) waits for the last of them, which bears its id.
  local running = (state == 'STARTED' or state == 'PROGRESS') and (speaker == attempt or (not speaker and record[3]))
  if mode == 'plain' and not record[6] and (state == 'STARTED' or state == 'PROGRESS'
    or (state == 'PENDING' and not ready(record[5], record[4]))) then
    running = true
    redis.call('PERSIST', key)
  end
  -- What runs comes to its end in a server without memory, too; see `scripts/__init__.py`.
  if running then redis.call('DEL', prefix .. 'nothing') end
  local over = state == 'SUCCESS' or state == 'FAILURE' or state == 'REVOKED'
  if not answer and state and (mode == 'once' or speaker and not running or not (running or over)) then
    answer = {'exists', id, state}
  end
  if not answer and not running then
    local twin, standing = twin_of(unique)
    if twin then answer = {'exists', twin, standing} end
  end
  if not answer and running and redis.call('HEXISTS', key, 'cancel') == 1 then
    emit(kept, id, 'state', 'REVOKED', attempt, '{"reason":"cancelled"}', finish(kept, id, 'REVOKED'))
    answer = {'exists', id, 'REVOKED'}
  end
  if not answer and running then
    -- Celery's own retry: the running attempt sends its task anew. It waits in the due set, if only for a moment.
    local when = due or now
    unpark(id)
    release(kept, id)
    redis.call('HDEL', key, 'lost', 'crashed', 'evidence', 'replaced', 'reason', 'retries_left')
    redis.call('HSET', key, 'state', 'RETRY', 'due', when, 'message', message, 'queue', queue, 'lane', lane,
      unpack(ARGV, first, first + fields - 1))
    redis.call('ZADD', prefix .. 'due', when, id)
    watch_expiry(id)
    local reason = redis.call('HGET', key, 'reason')  -- JSON that the attempt left; null where it said nothing
    emit(kept, id, 'state', 'RETRY', attempt, '{"due":' .. when .. ',"reason":' .. (reason or 'null') .. '}')
    answer = {'retried', id, 'RETRY'}
  end
  if not answer then
    if over then
      redis.call('HDEL', key, 'result', 'failure', 'exception', 'celery', 'started', 'finished', 'progress', 'label', 'cancel',
        'traceback', 'custom', 'ignored', 'lost', 'crashed', 'evidence', 'expires')
      redis.call('PERSIST', key)
      redis.call('PERSIST', prefix .. 'log:' .. id)
      forget_cancel(id)
    end
    local to = due and due > now and 'SCHEDULED' or 'PENDING'
    local written = {'state', to, 'queue', queue, 'lane', lane, 'attempt', attempt, 'created', now,
      unpack(ARGV, first, first + fields - 1)}
    local function note(name, value)
      written[#written + 1] = name
      written[#written + 1] = value
    end
    if expires then
      note('expires', expires)
      -- The workers of a plain Celery app see to it themselves; nobody knows whether they have begun.
      if mode ~= 'plain' then redis.call('ZADD', prefix .. 'expiry', expires, id) end
    end
    if unique ~= '' then
      local known = prefix .. 'unique:' .. string.match(unique, '^%S+ (.+)$')
      if window == '' then redis.call('SET', known, id) else redis.call('SET', known, id, 'PX', window) end
      note('unique', unique)
    end
    local data = 'null'
    if to == 'SCHEDULED' then
      note('due', due)
      note('message', message)
      redis.call('ZADD', prefix .. 'due', due, id)
      data = '{"due":' .. due .. '}'
    else
      note('entry', append(queue, lane, id, message, '0'))
    end
    redis.call('HSET', key, unpack(written))
    redis.call('ZADD', prefix .. 'tasks', now, id)
    adopt(id, parent_in(written, over and redis.call('HGET', key, 'parent_id')))
    -- Nobody can wait for what was not there before.
    tell(kept, id, 'state', to, attempt, data, said_at_birth(id, written, over))
    if once ~= '' then redis.call('SET', prefix .. 'once:' .. once, id .. ' ' .. print, 'EX', once_life) end
    answer = {'created', id, to, now, to == 'SCHEDULED' and due or ''}
  end
  answers[#answers + 1] = answer
end
return answers
