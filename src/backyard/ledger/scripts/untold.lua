-- Take on telling Celery's canvas of tasks that ended where no worker spoke for them. Who dies over it is taken over from
-- when the time is up: nothing is dropped before it was told.
-- ARGV: most at once, milliseconds the telling may take. Returns {id, state, message} for each
local taken = {}
for _, id in ipairs(redis.call('LRANGE', prefix .. 'untold', 0, tonumber(ARGV[1]) - 1)) do
  local record = redis.call('HMGET', task_key(id), 'state', 'untold', 'telling')
  if not record[2] then
    redis.call('LREM', prefix .. 'untold', 0, id)  -- its record's lifetime has ended
  elseif not record[3] or tonumber(record[3]) <= now then
    redis.call('HSET', task_key(id), 'telling', now + tonumber(ARGV[2]))
    taken[#taken + 1] = {id, record[1], record[2]}
  end
end
return taken
