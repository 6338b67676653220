-- Forget tasks that have ended: record, log, children, and their place in the list. ARGV: ids
-- Returns for each 1, or 0 where it has not ended and stays
local answers = {}
for i, id in ipairs(ARGV) do
  local state = redis.call('HGET', task_key(id), 'state')
  if not state or state == 'SUCCESS' or state == 'FAILURE' or state == 'REVOKED' then
    redis.call('DEL', task_key(id), prefix .. 'log:' .. id, prefix .. 'children:' .. id)
    redis.call('ZREM', prefix .. 'tasks', id)
    answers[i] = 1
  else
    answers[i] = 0
  end
end
return answers
