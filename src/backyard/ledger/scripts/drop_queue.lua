-- Delete a queue with its lanes. A lane of which a worker holds entries stays, and the queue with it: without them a
-- lost worker's tasks could not come back. ARGV: queue. Returns 1 where the queue is gone.
local held = false
for _, lane in ipairs(LANES) do
  local key = lane_key(ARGV[1], lane)
  local pending = redis.pcall('XPENDING', key, GROUP)
  if not pending.err and pending[1] > 0 then held = true else redis.call('DEL', key) end
end
if held then return 0 end
return redis.call('SREM', prefix .. 'queues', ARGV[1])
