-- Compare what lives beside a record with it, and the lanes with the queues' names.
-- ARGV: '1' to repair, most of each, then pairs of kind ('log', 'children', 'queue', 'unique' or 'parked_of') and the
--   rest of the key
-- Returns rows {kind, id, '', '1' if repaired}
local repair, most = ARGV[1] == '1', tonumber(ARGV[2])
local rows = {}
for i = 3, #ARGV, 2 do
  local kind, id = ARGV[i], ARGV[i + 1]
  if kind == 'queue' then
    local queue = string.match(id, '^(.*):[^:]*$')
    if redis.call('EXISTS', prefix .. 'queue:' .. id) == 1 and redis.call('SISMEMBER', prefix .. 'queues', queue) == 0 then
      if repair then redis.call('SADD', prefix .. 'queues', queue) end
      rows[#rows + 1] = {'unnamed', queue, '', repair and '1' or '0'}
    end
  elseif kind == 'unique' then
    -- One that a submit has made for a span of time ends by itself.
    local key = prefix .. 'unique:' .. id
    local task = redis.call('TTL', key) == -1 and redis.call('GET', key)
    local said = task and redis.call('HGET', task_key(task), 'unique')
    if task and (not said or string.match(said, '^%S+ (.+)$') ~= id) then
      if repair then redis.call('DEL', key) end
      rows[#rows + 1] = {'unique', task, id, repair and '1' or '0'}
    end
  elseif kind == 'parked_of' then
    for _, task in ipairs(redis.call('SRANDMEMBER', prefix .. 'parked_of:' .. id, most)) do
      local record = redis.call('HMGET', task_key(task), 'parked', 'queue', 'state')
      if not record[1] or record[2] ~= id or record[3] ~= 'PENDING' then
        if repair then redis.call('SREM', prefix .. 'parked_of:' .. id, task) end
        rows[#rows + 1] = {'miscounted', task, id, repair and '1' or '0'}
      end
    end
  else
    local key = prefix .. kind .. ':' .. id
    if redis.call('TTL', key) == -1 and redis.call('EXISTS', task_key(id)) == 0 then
      if repair then redis.call('DEL', key) end
      rows[#rows + 1] = {'leftover', id, kind, repair and '1' or '0'}
    end
  end
end
return rows
