-- A process says that it lives, and what consumers it speaks for; some of them may have closed their channel (retired).
-- A retired consumer keeps what is running, gives back what never started, and forgets what is final.
-- ARGV: events_kept, lease (ms), number of living consumers, those, then the retired ones
-- Returns the retired consumers that hold nothing any more.
local kept, lease, living = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local MOST = 1000
beat(lease)
for i = 4, #ARGV do redis.call('ZADD', prefix .. 'leases', now + lease, ARGV[i]) end
local empty = {}
if #ARGV < 4 + living then return empty end
local queues = redis.call('SMEMBERS', prefix .. 'queues')
for i = 4 + living, #ARGV do
  local holds = 0
  for _, queue in ipairs(queues) do
    for _, lane in ipairs(LANES) do
      local key = lane_key(queue, lane)
      local pending = redis.pcall('XPENDING', key, GROUP, '-', '+', MOST, ARGV[i])
      if not pending.err then
        if #pending == MOST then holds = holds + 1 end  -- there may be more; the next renewal goes on
        for _, row in ipairs(pending) do
          local found = redis.call('XRANGE', key, row[1], row[1])
          local id = found[1] and found[1][2][2] or ''
          local state = id ~= '' and redis.call('HGET', task_key(id), 'state')
          local alive = id ~= '' and redis.call('HGET', task_key(id), 'entry') == lane .. '/' .. row[1]
          if alive and (state == 'STARTED' or state == 'PROGRESS') then
            holds = holds + 1
          else
            give_back(kept, queue, lane, row[1], 'released')
          end
        end
        if holds == 0 then redis.pcall('XGROUP', 'DELCONSUMER', key, GROUP, ARGV[i]) end
      end
    end
  end
  if holds == 0 then
    redis.call('ZREM', prefix .. 'leases', ARGV[i])
    empty[#empty + 1] = ARGV[i]
  end
end
return empty
