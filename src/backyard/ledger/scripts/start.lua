-- Begin an attempt. Only the task's living queue entry may start it, and only from PENDING.
-- ARGV: events_kept, id, entry ('<lane>/<entry id>', or '' where the caller has none), token of this start, worker,
--   losses of its worker and crashes of its process that a task may cause: one that caused as many ends here, in a failure
--   of that kind; then the limits it is under, from the narrowest to the widest, three words each: name, 'slots' or 'rate',
--   and how many may run at once, or '<ms between two> <burst>'
-- Returns {'started', attempt} or {reason}, reason one of unknown, refused (with the state), doubled, expired, lost, limited
--   (parked at a limit, which the answer names)
local kept, id, entry, token, worker, losses, crashes, kind = unpack(ARGV, 1, 8)
local key = task_key(id)
local record = redis.call('HMGET', key, 'state', 'attempt', 'entry', 'expires', 'under', 'held', 'unique')
local state, attempt, place, expires, under, slots, unique = unpack(record)
attempt = tonumber(attempt or '0')
if not state then return {'unknown'} end
-- The answer to this very start was lost on the way: it counts, once.
if state == 'STARTED' and redis.call('HGET', key, 'token') == token then return {'started', attempt} end
if entry ~= '' and place and place ~= entry then count('doubled') return {'doubled', state} end
if state ~= 'PENDING' then count('refused') return {'refused', state} end
-- The answer that it was parked, and so has no entry, was lost on the way.
local parked = not place and redis.call('HGET', key, 'parked')
if parked then return {'limited', parked} end
-- Its parent was cancelled with its children, and nobody has come to this one yet.
if under and redis.call('HEXISTS', task_key(under), 'cancel_tree') == 1 then
  return {'refused', cancel_task(kept, id, true, 'Its parent ' .. under .. ' was cancelled.')[2]}
end
if expires and now >= tonumber(expires) then
  expire(kept, id, tostring(attempt))
  return {'expired', 'FAILURE'}
end
-- What an attempt before this one may have left.
if attempt > 0 then
  if quarantined(kept, id, attempt, losses, crashes, kind) then return {'lost', 'FAILURE'} end
  if suspect(id, losses) then for n, word in ipairs({'suspects', 'slots', '1'}) do table.insert(ARGV, 8 + n, word) end end
end

-- What somebody has paused waits until somebody resumes it, and holds up nobody meanwhile.
if any_paused() then
  local of = redis.call('HMGET', key, 'queue', 'name')
  for _, what in ipairs({'queue:' .. (of[1] or ''), 'definition:' .. (of[2] or '')}) do
    local limit = 'paused:' .. what
    if redis.call('HEXISTS', prefix .. 'paused', what) == 1 and park(kept, id, limit, '') then return {'limited', limit} end
  end
end

local held, taken, kept_slots, ticket = {}, {}, {}, nil
for limit in string.gmatch(slots or '', '%S+') do held[limit] = true end
for i = 9, #ARGV, 3 do
  local limit, kind, said = ARGV[i], ARGV[i + 1], ARGV[i + 2]
  local holders = prefix .. 'slots:' .. limit
  local free
  if kind == 'rate' then
    local interval, burst = string.match(said, '^(%S+) (%S+)$')
    local some, at = tokens(limit, tonumber(interval), tonumber(burst))
    -- Whoever was woken for a token has it for certain; nobody else may come before those that wait.
    free = held[limit]
      or (some > redis.call('ZCARD', holders) and redis.call('HEXISTS', prefix .. 'gates', limit) == 0)
    ticket = {limit, at + interval}
  elseif held[limit] then
    free = true
    -- A definition that was deployed anew may let more run, or fewer.
    local known = redis.call('HGET', prefix .. 'limits', limit)
    if known and known ~= said then
      redis.call('HSET', prefix .. 'limits', limit, said)
      hand_on(limit)
    end
  else
    free = redis.call('ZCARD', holders) < tonumber(said)
  end
  if not free then
    for _, one in ipairs(taken) do redis.call('ZREM', prefix .. 'slots:' .. one, id) end
    if park(kept, id, limit, said, kept_slots) then return {'limited', limit} end
    for _, one in ipairs(taken) do redis.call('ZADD', prefix .. 'slots:' .. one, now, id) end
  end
  if kind == 'slots' and not held[limit] then
    redis.call('ZADD', holders, now, id)
    taken[#taken + 1] = limit
  end
  kept_slots[limit] = true
end
if ticket then
  redis.call('HSET', prefix .. 'rates', ticket[1], string.format('%.3f', ticket[2]))
  if held[ticket[1]] then redis.call('ZREM', prefix .. 'slots:' .. ticket[1], id) end
end
if slots or #taken > 0 then
  local all = taken
  for limit in pairs(held) do if not (ticket and limit == ticket[1]) then all[#all + 1] = limit end end
  if #all > 0 then redis.call('HSET', key, 'held', table.concat(all, ' ')) else redis.call('HDEL', key, 'held') end
end
if unique and string.find(unique, '^until_start ') then forget_unique(id, unique) end

if attempt > 0 then redis.call('HDEL', key, 'progress', 'label', 'replaced') end
attempt = attempt + 1
redis.call('HSET', key, 'state', 'STARTED', 'attempt', attempt, 'token', token, 'worker', worker, 'started', now)
emit(kept, id, 'state', 'STARTED', attempt, '{"worker":' .. cjson.encode(worker) .. '}', {'.started', now})
return {'started', attempt}
