-- Ready entries of queues: what is queued and not handed out. ARGV: queue names. Returns a number for each.
local depths = {}
for i = 1, #ARGV do
  local ready = 0
  for _, lane in ipairs(LANES) do
    local key = lane_key(ARGV[i], lane)
    local held = redis.pcall('XPENDING', key, GROUP)
    ready = ready + redis.call('XLEN', key) - ((held.err or not held[1]) and 0 or held[1])
  end
  depths[i] = ready
end
return depths
