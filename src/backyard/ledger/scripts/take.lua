-- Hand queue entries to a consumer, lane by lane in strict order, and never more than asked for; none of a paused queue.
-- ARGV: consumer, most, lease (ms), then queue names in the order to be read.
-- Returns {queue, lane, entry id, message, delivered before} for each
local consumer, most, lease = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local taken = {}
redis.call('ZADD', prefix .. 'leases', now + lease, consumer)
local paused = {}
if any_paused() then
  for i = 4, #ARGV do paused[i] = redis.call('HEXISTS', prefix .. 'paused', 'queue:' .. ARGV[i]) == 1 end
end
for _, lane in ipairs(LANES) do
  for i = 4, #ARGV do
    if #taken >= most then return taken end
    local key = lane_key(ARGV[i], lane)
    local reply = not paused[i] and redis.pcall('XREADGROUP', 'GROUP', GROUP, consumer, 'COUNT', most - #taken, 'STREAMS', key, '>')
    if type(reply) == 'table' and reply.err then
      redis.call('SADD', prefix .. 'queues', ARGV[i])
      ensure_group(key)
      reply = redis.call('XREADGROUP', 'GROUP', GROUP, consumer, 'COUNT', most - #taken, 'STREAMS', key, '>')
    end
    if reply then
      for _, entry in ipairs(reply[1][2]) do
        local row = {ARGV[i], lane, entry[1], '', '0'}
        for f = 1, #(entry[2] or {}), 2 do
          if entry[2][f] == 'm' then row[4] = entry[2][f + 1] elseif entry[2][f] == 'r' then row[5] = entry[2][f + 1] end
        end
        taken[#taken + 1] = row
      end
    end
  end
end
return taken
