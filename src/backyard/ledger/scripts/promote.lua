-- Move what is due into its queue. ARGV: events_kept, most at once. Returns the number moved.
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
return #due
