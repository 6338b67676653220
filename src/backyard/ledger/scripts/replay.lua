-- Read the events of one task after an id, in bounded steps. ARGV: id, after, most looked at.
-- Returns {id to go on from, or '' at the end; entries}
local id, after, most = ARGV[1], ARGV[2], tonumber(ARGV[3])
local rows = redis.call('XRANGE', prefix .. 'events', '(' .. after, '+', 'COUNT', most)
local found = {}
for _, row in ipairs(rows) do
  if row[2][2] == id then found[#found + 1] = row end
end
return {#rows < most and '' or rows[#rows][1], found}
