-- Limits. A task that meets a full one is parked at it: PENDING without an entry, its message in the record. It keeps the
-- slots of the limits that come earlier in the one fixed order, from the narrowest to the widest, so that nobody waits in
-- a circle, and a slot that is given up goes to the best of those parked for it, which then cannot lose it any more.
-- Limits that open with time (rates) or by a person (pauses) are gates: promote.lua looks after them.
local RANK = {high = 0, normal = 1, low = 2}

local function book_of(limit)
  return prefix .. ((string.find(limit, '^rate:') or string.find(limit, '^paused:')) and 'gates' or 'limits')
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

-- Whether anybody has paused anything.
local some_paused
local function any_paused()
  if some_paused == nil then some_paused = redis.call('EXISTS', prefix .. 'paused') == 1 end
  return some_paused
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
