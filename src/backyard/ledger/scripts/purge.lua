-- Discard the ready entries of a queue, and what is parked of it; their tasks end REVOKED. What is handed out stays.
-- ARGV: events_kept, queue, most at once. Returns the number discarded.
local kept, queue, most = ARGV[1], ARGV[2], tonumber(ARGV[3])
local gone = 0

local function revoke(id)
  local attempt = redis.call('HGET', task_key(id), 'attempt') or '0'
  emit(kept, id, 'state', 'REVOKED', attempt, '{"reason":"purged"}', finish(kept, id, 'REVOKED'))
end

for _, lane in ipairs(LANES) do
  local key = lane_key(queue, lane)
  for _, entry in ipairs(redis.call('XRANGE', key, ready_from(key), '+', 'COUNT', most - gone)) do
    local id = entry[2][2]
    gone = gone + 1
    if id and id ~= '' and redis.call('HGET', task_key(id), 'entry') == lane .. '/' .. entry[1] then
      revoke(id)
    end
    redis.call('XDEL', key, entry[1])
  end
  if gone >= most then break end
end
if gone >= most then return gone end
for _, id in ipairs(redis.call('SRANDMEMBER', prefix .. 'parked_of:' .. queue, most - gone)) do
  revoke(id)
  gone = gone + 1
end
return gone
