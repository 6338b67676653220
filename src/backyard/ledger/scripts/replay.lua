-- Read the events of some tasks after an id, in bounded steps. ARGV: after ('' begins where the oldest of the tasks does,
-- as far as they have records), most looked at, then ids.
-- Returns {id to go on from, or '' at the end; entries, without what is for the history; each task's state, '' unknown}
local after, most = ARGV[1], tonumber(ARGV[2])
local wanted, states, oldest = {}, {}, nil
for i = 3, #ARGV do
  local record = redis.call('HMGET', task_key(ARGV[i]), 'state', 'created')
  wanted[ARGV[i]] = true
  states[#states + 1] = record[1] or ''
  if record[2] then oldest = math.min(oldest or now, tonumber(record[2])) end
end
if after == '' then
  if not oldest then return {'', {}, states} end
  after = string.format('%.0f-0', math.max(oldest - 1, 0))
end
local rows = redis.call('XRANGE', prefix .. 'events', '(' .. after, '+', 'COUNT', most)
local found = {}
for _, row in ipairs(rows) do
  if wanted[row[2][2]] then found[#found + 1] = {row[1], {unpack(row[2], 1, 10)}} end
end
return {#rows < most and '' or rows[#rows][1], found, states}
