-- Read schedules. ARGV: ids; none for all.
-- Returns for each that there is {id, version, spec, state, last task or '', its state or ''}
local ids = ARGV
if #ids == 0 then ids = redis.call('ZRANGE', prefix .. 'schedules', 0, -1) end
local rows = {}
for _, id in ipairs(ids) do
  local row = redis.call('HMGET', prefix .. 'schedule:' .. id, 'version', 'spec', 'state', 'last_task')
  local task = row[4] or ''
  if row[1] then
    rows[#rows + 1] = {id, row[1], row[2], row[3], task, task ~= '' and redis.call('HGET', task_key(task), 'state') or ''}
  end
end
return rows
