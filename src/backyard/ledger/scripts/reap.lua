-- Take back what dead consumers hold: those whose lease ran out. Bounded, so that the server never stops for it.
-- ARGV: events_kept, most at once. Returns the number of entries given back.
local kept, most = ARGV[1], tonumber(ARGV[2])
if now < tonumber(redis.call('HGET', prefix .. 'pulse', 'grace') or '0') then return 0 end
local dead = redis.call('ZRANGEBYSCORE', prefix .. 'leases', '-inf', now, 'LIMIT', 0, 10)
local back = 0
if #dead == 0 then return back end
local queues = redis.call('SMEMBERS', prefix .. 'queues')
for _, consumer in ipairs(dead) do
  local left = 0
  for _, queue in ipairs(queues) do
    for _, lane in ipairs(LANES) do
      local key = lane_key(queue, lane)
      local pending = redis.pcall('XPENDING', key, GROUP, '-', '+', most - back + 1, consumer)
      if not pending.err then
        for _, row in ipairs(pending) do
          if back < most then
            give_back(kept, queue, lane, row[1], 'worker_lost')
            back = back + 1
          else
            left = left + 1
          end
        end
        -- An empty consumer is forgotten; one that holds entries never is, since they would be lost with it.
        if left == 0 and #pending <= most then redis.pcall('XGROUP', 'DELCONSUMER', key, GROUP, consumer) end
      end
    end
  end
  if left == 0 then
    redis.call('ZREM', prefix .. 'leases', consumer)
    count('workers_lost')
  end
end
return back
