-- End tasks that wait and may not start any more. What runs may run on; if it comes to wait again, it is noted again.
-- ARGV: events_kept, most at once. Returns the number looked at.
local kept, most = ARGV[1], tonumber(ARGV[2])
local over = redis.call('ZRANGEBYSCORE', prefix .. 'expiry', '-inf', now, 'LIMIT', 0, most)
for _, id in ipairs(over) do
  redis.call('ZREM', prefix .. 'expiry', id)
  local record = redis.call('HMGET', task_key(id), 'state', 'attempt', 'queue', 'entry')
  local state = record[1]
  if state == 'PENDING' or state == 'SCHEDULED' or state == 'RETRY' then
    leave_word(id)
    expire(kept, id, record[2] or '0')
    if record[4] then
      local lane, entry = string.match(record[4], '^(%a+)/(.+)$')
      drop_entry(lane_key(record[3], lane), entry)
    end
  end
end
return #over
