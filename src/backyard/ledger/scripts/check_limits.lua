-- Compare limits with the tasks that hold their slots or wait for them. Looks at the oldest of each.
-- ARGV: events_kept, '1' to repair, most of each, where the names are from ('book'; 'parked' or 'slots', keys, which pass
--   over what is looked at from elsewhere), then names of limits. Returns rows {kind, id, limit, '1' if repaired}
local kept, repair, most = ARGV[1], ARGV[2] == '1', tonumber(ARGV[3])
local from = ARGV[4]
local rows = {}

local function found(kind, id, limit)
  rows[#rows + 1] = {kind, id, limit, repair and '1' or '0'}
end

local function holds(id, limit)
  local record = redis.call('HMGET', task_key(id), 'state', 'held')
  if record[1] ~= 'PENDING' and record[1] ~= 'STARTED' and record[1] ~= 'PROGRESS' then return false end
  return string.find(' ' .. (record[2] or '') .. ' ', ' ' .. limit .. ' ', 1, true) ~= nil
end

local function check(limit)
  local slots, parked, book = prefix .. 'slots:' .. limit, prefix .. 'parked:' .. limit, book_of(limit)
  if from ~= 'book' and redis.call('HEXISTS', book, limit) == 1 then return end
  if from == 'slots' and redis.call('EXISTS', parked) == 1 then return end
  for _, id in ipairs(redis.call('ZRANGE', slots, 0, most - 1)) do
    if not holds(id, limit) then
      if repair then redis.call('ZREM', slots, id) end
      found('slot', id, limit)
    end
  end
  for _, id in ipairs(redis.call('ZRANGE', parked, 0, most - 1)) do
    local record = redis.call('HMGET', task_key(id), 'parked', 'state', 'queue')
    if record[1] ~= limit or record[2] ~= 'PENDING' then
      if repair then
        redis.call('ZREM', parked, id)
        if record[3] and not record[1] then redis.call('SREM', prefix .. 'parked_of:' .. record[3], id) end
      end
      found('misplaced', id, limit)
    end
  end
  local waiting, said = redis.call('ZCARD', parked), redis.call('HGET', book, limit)
  if waiting == 0 and said then
    if repair then redis.call('HDEL', book, limit) end
    found('bookless', limit, '')
  elseif waiting > 0 and not said then
    -- Nobody knows how many may run: each finds out when it begins.
    if repair then wake(limit, most, false) end
    found('bookless', limit, '')
  elseif waiting > 0 and book == prefix .. 'limits' and redis.call('ZCARD', slots) < tonumber(said) then
    if repair then hand_on(limit) end
    found('sleeping', limit, '')
  end
end

for i = 5, #ARGV do check(ARGV[i]) end
return rows
