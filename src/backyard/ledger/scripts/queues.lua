-- Count what waits in queues. ARGV: queue names; none for all known ones.
-- Returns for each {name, ready entries, held ones, parked tasks, what was said of its pause or ''}
local names = {}
for i = 1, #ARGV do names[i] = ARGV[i] end
if #names == 0 then
  names = redis.call('SMEMBERS', prefix .. 'queues')
  table.sort(names)
end
local rows = {}
for i, name in ipairs(names) do
  local ready, all = 0, 0
  for _, lane in ipairs(LANES) do
    local key = lane_key(name, lane)
    ready, all = ready + ready_in(key), all + redis.call('XLEN', key)
  end
  local paused = redis.call('HGET', prefix .. 'paused', 'queue:' .. name)
  rows[i] = {name, ready, all - ready, redis.call('SCARD', prefix .. 'parked_of:' .. name), paused or ''}
end
return rows
