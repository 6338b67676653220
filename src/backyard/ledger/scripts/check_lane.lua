-- Compare the entries of a lane with their tasks, from an entry on. What a consumer holds is left to its lease.
-- ARGV: '1' to repair, queue, lane, entry to go on after ('' the first), most
-- Returns {entry to go on after, or '' at the end; rows {kind, id, entry, '1' if repaired}}
local repair, queue, lane, after, most = ARGV[1] == '1', ARGV[2], ARGV[3], ARGV[4], tonumber(ARGV[5])
local key = lane_key(queue, lane)
local rows = {}

-- Whether an entry was handed out once; if nobody holds it now, it will never be handed out again.
local delivered
local groups = redis.pcall('XINFO', 'GROUPS', key)
if not groups.err then
  for _, group in ipairs(groups) do
    local row = {}
    for f = 1, #group, 2 do row[group[f]] = group[f + 1] end
    if row['name'] == GROUP then delivered = row['last-delivered-id'] end
  end
end
local function was_handed_out(entry)
  if not delivered then return false end
  local ms, number = string.match(entry, '(%d+)-(%d+)')
  local last_ms, last_number = string.match(delivered, '(%d+)-(%d+)')
  ms, number, last_ms, last_number = tonumber(ms), tonumber(number), tonumber(last_ms), tonumber(last_number)
  return ms < last_ms or (ms == last_ms and number <= last_number)
end

local entries = redis.call('XRANGE', key, after == '' and '-' or '(' .. after, '+', 'COUNT', most)
for _, row in ipairs(entries) do
  local entry = row[1]
  local pending = redis.pcall('XPENDING', key, GROUP, entry, entry, 1)
  if pending.err or #pending == 0 then
    local fields = {}
    for f = 1, #row[2], 2 do fields[row[2][f]] = row[2][f + 1] end
    local id, stranded = fields.t or '', was_handed_out(entry)
    local record = id ~= '' and redis.call('HMGET', task_key(id), 'state', 'entry', 'parked') or {}
    local kind
    if id ~= '' and (record[1] == 'STARTED' or record[1] == 'PROGRESS') and record[2] == lane .. '/' .. entry then
      kind = nil  -- the task's own check sees to it, since its worker may live
    elseif id == '' or (record[1] == 'PENDING' and record[2] == lane .. '/' .. entry) then
      kind = stranded and 'stranded' or nil
    elseif record[1] == 'PENDING' and not record[2] and not record[3] then
      kind = stranded and 'stranded' or 'unclaimed'
    else
      kind = 'stray'
    end
    if kind then
      if repair and kind == 'unclaimed' then
        redis.call('HSET', task_key(id), 'entry', lane .. '/' .. entry)
      elseif repair then
        drop_entry(key, entry)
        if kind == 'stranded' then enqueue(queue, 'again', id, fields.m or '', '1') end
      end
      rows[#rows + 1] = {kind, id, entry, repair and '1' or '0'}
    end
  end
end
return {#entries < most and '' or entries[#entries][1], rows}
