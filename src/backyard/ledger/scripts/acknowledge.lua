-- Drop entries that were dealt with. ARGV: '1' from a plain Celery app, whose tasks have no attempts, else '';
--   then triples of queue, lane, entry id
local plain = ARGV[1] == '1'
for i = 2, #ARGV, 3 do
  local key = lane_key(ARGV[i], ARGV[i + 1])
  local found = plain and redis.call('XRANGE', key, ARGV[i + 2], ARGV[i + 2]) or {}
  local id = found[1] and found[1][2][2] or ''
  if id ~= '' then
    local record = redis.call('HMGET', task_key(id), 'state', 'entry', 'lifetime')
    if record[1] == 'PENDING' and record[2] == ARGV[i + 1] .. '/' .. ARGV[i + 2] then
      -- Acknowledged early, it is in that worker's hands alone. Without a queue it is nothing that a check could mend,
      -- and if no news comes any more, the record is not kept for ever.
      redis.call('HSET', task_key(id), 'queue', '')
      redis.call('EXPIRE', task_key(id), tonumber(record[3] or '86400'))
    end
  end
  drop_entry(key, ARGV[i + 2])
end
return 1
