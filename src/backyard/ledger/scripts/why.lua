-- Read at one moment what a task may be waiting for. Looks at so many entries and events at most.
-- ARGV: id, most. Returns {} for an unknown task, else names and values (each a string, a number or a list)
local id, most = ARGV[1], tonumber(ARGV[2])
local names = {'state', 'name', 'queue', 'lane', 'entry', 'attempt', 'due', 'parked', 'worker', 'started', 'finished',
  'created', 'progress', 'failure', 'cancel', 'cancel_seen', 'cancel_by', 'expires', 'replaced', 'lost', 'crashed', 'put_off'}
local values = redis.call('HMGET', task_key(id), unpack(names))
if not values[1] then return {} end
local record, facts = {}, {'now', now}
local function add(name, value)
  facts[#facts + 1] = name
  facts[#facts + 1] = value
end
for i, name in ipairs(names) do
  if values[i] then
    record[name] = values[i]
    add(name, values[i])
  end
end

-- Entries between the last one handed out and this one, counted from the nearer end.
local function add_ahead(lane, key, entry)
  local before = 0
  for _, earlier in ipairs(LANES) do
    if earlier == lane then break end
    before = before + ready_in(lane_key(record.queue, earlier))
  end
  local from = '-'
  local groups = redis.pcall('XINFO', 'GROUPS', key)
  if not groups.err then
    for _, group in ipairs(groups) do
      local row = {}
      for f = 1, #group, 2 do row[group[f]] = group[f + 1] end
      if row['name'] == GROUP then from = '(' .. row['last-delivered-id'] end
    end
  end
  local first = #redis.call('XRANGE', key, from, '(' .. entry, 'COUNT', most)
  if first == most then
    local behind = #redis.call('XRANGE', key, '(' .. entry, '+', 'COUNT', most)
    if behind == most then add('at_least', 1) else first = ready_in(key) - behind - 1 end
  end
  add('ahead', before + first)
end

-- How many tasks of the queue began lately, and since when that was looked at.
local function add_starts()
  local starts, oldest = 0, now
  for _, row in ipairs(redis.call('XREVRANGE', prefix .. 'events', '+', '-', 'COUNT', most)) do
    oldest = tonumber(string.match(row[1], '^(%d+)'))
    if row[2][6] == 'STARTED' and row[2][4] == 'state' and redis.call('HGET', task_key(row[2][2]), 'queue') == record.queue then
      starts = starts + 1
    end
  end
  add('starts', starts)
  add('starts_since', oldest)
end

local slash = record.entry and string.find(record.entry, '/', 1, true)
if slash then
  local lane, entry = string.sub(record.entry, 1, slash - 1), string.sub(record.entry, slash + 1)
  local key = lane_key(record.queue, lane)
  local there = redis.pcall('XRANGE', key, entry, entry)
  if there.err or #there == 0 then
    add('place', 'gone')
  else
    local pending = redis.pcall('XPENDING', key, GROUP, entry, entry, 1)
    if not pending.err and #pending > 0 then
      add('place', 'held')
      add('holder', pending[1][2])
      local lease = redis.call('ZSCORE', prefix .. 'leases', pending[1][2])
      if lease then add('lease', lease) end
    else
      add('place', 'ready')
      add_ahead(lane, key, entry)
      add_starts()
    end
  end
end
local due = redis.call('ZSCORE', prefix .. 'due', id)
if due then add('due_at', due) end
local paused = redis.call('HMGET', prefix .. 'paused', 'queue:' .. (record.queue or ''), 'definition:' .. (record.name or ''))
if paused[1] then add('paused_queue', paused[1]) end
if paused[2] then add('paused_definition', paused[2]) end
if record.parked then
  local slots = prefix .. 'slots:' .. record.parked
  local said = redis.call('HGET', book_of(record.parked), record.parked)
  if said then add('limit_said', said) end
  add('holders', redis.call('ZCARD', slots))
  add('holding', redis.call('ZRANGE', slots, 0, 9))
  local rank = redis.call('ZRANK', prefix .. 'parked:' .. record.parked, id)
  if rank then add('parked_before', rank) end
end
add('grace', redis.call('HGET', prefix .. 'pulse', 'grace') or '0')
return facts
