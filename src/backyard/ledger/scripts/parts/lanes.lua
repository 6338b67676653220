-- Put a message into a lane; returns the entry as records name it. Where there is a lane, its queue is named.
local function append(queue, lane, id, message, again)
  local key = lane_key(queue, lane)
  local entry = redis.call('XADD', key, 'NOMKSTREAM', '*', 't', id, 'm', message, 'r', again)
  if not entry then
    redis.call('SADD', prefix .. 'queues', queue)
    entry = redis.call('XADD', key, '*', 't', id, 'm', message, 'r', again)
  end
  return lane .. '/' .. entry
end

-- Put a message into a lane, and note in the record which entry is the task's living one.
local function enqueue(queue, lane, id, message, again)
  local entry = append(queue, lane, id, message, again)
  if id ~= '' then redis.call('HSET', task_key(id), 'entry', entry) end
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

-- Entries of a lane that are handed out to nobody.
local function ready_in(key)
  local held = redis.pcall('XPENDING', key, GROUP)
  return redis.call('XLEN', key) - ((held.err or not held[1]) and 0 or held[1])
end

-- Where those entries begin, as XRANGE reads it: what was given back is added anew.
local function ready_from(key)
  local groups = redis.pcall('XINFO', 'GROUPS', key)
  if groups.err then return '-' end
  for _, group in ipairs(groups) do
    local row = {}
    for f = 1, #group, 2 do row[group[f]] = group[f + 1] end
    if row['name'] == GROUP then return '(' .. row['last-delivered-id'] end
  end
  return '-'
end
