-- Forget index rows whose record's lifetime has ended, from the oldest on. ARGV: offset, most.
-- Returns {rows looked at, rows removed}
local rows = redis.call('ZRANGE', prefix .. 'tasks', tonumber(ARGV[1]), tonumber(ARGV[1]) + tonumber(ARGV[2]) - 1)
local gone = 0
for _, id in ipairs(rows) do
  if redis.call('EXISTS', task_key(id)) == 0 then
    redis.call('ZREM', prefix .. 'tasks', id)
    gone = gone + 1
  end
end
return {#rows, gone}
