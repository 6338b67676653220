-- Move what is due into its queue, then what waits at gates that are open: rates that have tokens again, pauses that were
-- ended. ARGV: events_kept, most at once. Returns the number moved.
local kept, most = ARGV[1], tonumber(ARGV[2])
local due = redis.call('ZRANGEBYSCORE', prefix .. 'due', '-inf', now, 'LIMIT', 0, most)
for _, id in ipairs(due) do
  local key = task_key(id)
  local record = redis.call('HMGET', key, 'state', 'attempt', 'queue', 'lane', 'message')
  redis.call('ZREM', prefix .. 'due', id)
  if (record[1] == 'SCHEDULED' or record[1] == 'RETRY') and record[5] then
    enqueue(record[3], record[4], id, record[5], '0')
    redis.call('HSET', key, 'state', 'PENDING')
    redis.call('HDEL', key, 'message', 'due')
    emit(kept, id, 'state', 'PENDING', record[2] or '0', 'null')
  end
end
local moved = #due
-- There is a gate for each definition and queue at most.
local gates = redis.call('HGETALL', prefix .. 'gates')
for i = 1, #gates, 2 do
  if moved >= most then break end
  local limit, said = gates[i], gates[i + 1]
  local place = string.match(limit, '^paused:(.*)$')
  if place then
    if redis.call('HEXISTS', prefix .. 'paused', place) == 0 then moved = moved + wake(limit, most - moved) end
  else
    local interval, burst = string.match(said, '^(%S+) (%S+)$')
    local some = tokens(limit, tonumber(interval), tonumber(burst)) - redis.call('ZCARD', prefix .. 'slots:' .. limit)
    if some > 0 then moved = moved + wake(limit, math.min(some, most - moved), true) end
  end
end
return moved
