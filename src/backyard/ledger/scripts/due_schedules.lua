-- Find schedules that are to be looked at. ARGV: millisecond, most
-- Returns {millisecond of the first look after that or '', rows: {id, version, spec, state, last task or '', its state or ''}}
local all = prefix .. 'schedules'
local rows = {redis.call('ZRANGEBYSCORE', all, '(' .. ARGV[1], '+inf', 'WITHSCORES', 'LIMIT', 0, 1)[2] or ''}
for _, id in ipairs(redis.call('ZRANGEBYSCORE', all, '-inf', ARGV[1], 'LIMIT', 0, ARGV[2])) do
  local row = redis.call('HMGET', prefix .. 'schedule:' .. id, 'version', 'spec', 'state', 'last_task')
  local task = row[4] or ''
  rows[#rows + 1] = {id, row[1] or '', row[2] or '', row[3] or '', task,
    task ~= '' and redis.call('HGET', task_key(task), 'state') or ''}
end
return rows
