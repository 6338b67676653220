-- What the stream says of the record beside the event, so that history can be written from the stream alone. Values that
-- are longer are left out, and read from the record. See `finish` for final states.
local INLINE = 4096
local function told(event, state)
  if event == 'cancel' then return 'cancel', 'cancel_seen', 'cancel_by', 'cancel_reason' end
  if event ~= 'state' then return end
  if state == 'STARTED' then return 'started' end
  if state == 'SCHEDULED' then return 'due' end
  if state == 'RETRY' then return 'due', 'failure', 'reason', 'retries_left', 'queue', 'lane', 'input' end
end

-- Add what the record holds by a name to what an event says of it.
local function say(said, name, value)
  if not value or value == '' then return end
  if type(value) == 'string' and #value > INLINE then
    said.left_out = said.left_out and said.left_out .. ' ' .. name or name
  else
    said[#said + 1] = '.' .. name
    said[#said + 1] = value
  end
end

-- What an event says of the record, read from it.
local function said_of(id, ...)
  local said, names = {}, {...}
  if #names > 0 then
    for i, value in ipairs(redis.call('HMGET', task_key(id), ...)) do say(said, names[i], value) end
  end
  return said
end

-- The same when a task was accepted, with a record of these fields, or of others as well.
local BORN = {name = true, queue = true, lane = true, created = true, due = true, expires = true, input = true, tags = true,
  rerun_of = true, parent_id = true, root_id = true, group_id = true, schedule = true, operation = true, webhook = true}
local function said_at_birth(id, fields, over)
  if over then
    local names = {}
    for name in pairs(BORN) do names[#names + 1] = name end
    return said_of(id, unpack(names))
  end
  local said = {}
  for i = 1, #fields, 2 do
    if BORN[fields[i]] then say(said, fields[i], fields[i + 1]) end
  end
  return said
end

-- As long as a keeper records the stream, it alone trims it, after it has recorded; 'most' is the far end of that.
local stream_most
local function most_events(kept)
  if not stream_most then stream_most = redis.call('HGET', prefix .. 'recorder', 'most') or kept end
  return stream_most
end

-- Put an event on the stream, with what it says of the record.
local function tell(kept, id, event, state, attempt, data, said)
  local words = {'MAXLEN', '~', most_events(kept), '*', 'task', id, 'event', event, 'state', state,
    'attempt', attempt, 'data', data, unpack(said)}
  if said.left_out then
    words[#words + 1] = 'left_out'
    words[#words + 1] = said.left_out
  end
  return redis.call('XADD', prefix .. 'events', unpack(words))
end

-- What news of a final state says of the outcome, as members of a JSON object: who waits for it need not ask. Nothing,
-- where the record has to be read.
local ENDINGS = {SUCCESS = true, FAILURE = true, REVOKED = true}
local function outcome_in(event, state, said)
  if event ~= 'state' or not ENDINGS[state] or said.left_out then return '' end
  local parts = {}
  for i = 1, #said, 2 do
    if said[i] == '.result' or said[i] == '.failure' then
      parts[#parts + 1] = '"' .. string.sub(said[i], 2) .. '":' .. cjson.encode(said[i + 1])
    end
  end
  return parts[1] and ',"fields":{' .. table.concat(parts, ',') .. '}' or ''
end

-- One line of news: on the stream for all, on the task's channel for those who wait for it. Who knows what the event is
-- to say of the record gives it; else it is read.
local function emit(kept, id, event, state, attempt, data, said)
  said = said or said_of(id, told(event, state))
  local entry = tell(kept, id, event, state, attempt, data, said)
  local news = '{"event_id":"' .. entry .. '","task_id":' .. cjson.encode(id)
    .. ',"event":"' .. event .. '","state":"' .. state .. '","attempt":' .. attempt .. ',"data":' .. data
  redis.call('PUBLISH', task_key(id), news .. outcome_in(event, state, said) .. '}')
  -- Where plain Celery apps wait; who may use the yard's names alone can do without.
  if event == 'state' or event == 'progress' then redis.pcall('PUBLISH', 'celery-task-meta-' .. id, news .. '}') end
  return entry
end
