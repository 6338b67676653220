-- Count what waits in queues. ARGV: queue names; none for all known ones.
-- Returns for each {name, held entries, parked tasks, what was said of its pause or '', milliseconds since the first ready
-- entry was queued or -1, then the ready entries of each lane}
local names = {}
for i = 1, #ARGV do names[i] = ARGV[i] end
if #names == 0 then
  names = redis.call('SMEMBERS', prefix .. 'queues')
  table.sort(names)
end

local function first_in(key)
  local first = redis.call('XRANGE', key, ready_from(key), '+', 'COUNT', 1)[1]
  return first and tonumber(string.match(first[1], '^%d+'))
end

local rows = {}
for i, name in ipairs(names) do
  local held, oldest, lanes = 0, now + 1, {}
  for l, lane in ipairs(LANES) do
    local key = lane_key(name, lane)
    lanes[l] = ready_in(key)
    held = held + redis.call('XLEN', key) - lanes[l]
    if lanes[l] > 0 then oldest = math.min(oldest, first_in(key) or oldest) end
  end
  local paused = redis.call('HGET', prefix .. 'paused', 'queue:' .. name)
  rows[i] = {name, held, redis.call('SCARD', prefix .. 'parked_of:' .. name), paused or '', now - oldest, unpack(lanes)}
end
return rows
