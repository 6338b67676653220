-- Compare what is due with the tasks, from an offset on. ARGV: '1' to repair, offset, most
-- Returns {offset to go on from, or -1 at the end; rows {kind, id, state, '1' if repaired}}
local repair, offset, most = ARGV[1] == '1', tonumber(ARGV[2]), tonumber(ARGV[3])
local ids = redis.call('ZRANGE', prefix .. 'due', offset, offset + most - 1)
local rows, gone = {}, 0
for _, id in ipairs(ids) do
  local state = redis.call('HGET', task_key(id), 'state')
  if state ~= 'SCHEDULED' and state ~= 'RETRY' then
    if repair then
      redis.call('ZREM', prefix .. 'due', id)
      gone = gone + 1
    end
    rows[#rows + 1] = {'overdue', id, state or '', repair and '1' or '0'}
  end
end
return {#ids < most and -1 or offset + #ids - gone, rows}
