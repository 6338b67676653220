-- Compare the consumers of a queue with the leases: without one, what a consumer holds would never be taken over.
-- ARGV: '1' to repair, lease (ms), queue, most. Returns rows {kind, consumer, lane, '1' if repaired}
-- A lease made here lasts as long as any: if the consumer's process lives after all, it renews it in time.
local repair, lease, queue, most = ARGV[1] == '1', tonumber(ARGV[2]), ARGV[3], tonumber(ARGV[4])
local rows = {}
for _, lane in ipairs(LANES) do
  local key = lane_key(queue, lane)
  local consumers = redis.pcall('XINFO', 'CONSUMERS', key, GROUP)
  if not consumers.err then
    for _, consumer in ipairs(consumers) do
      local row = {}
      for f = 1, #consumer, 2 do row[consumer[f]] = consumer[f + 1] end
      if #rows < most and not redis.call('ZSCORE', prefix .. 'leases', row['name']) then
        local kind = row['pending'] > 0 and 'leaseless' or 'idle'
        if repair and kind == 'leaseless' then
          redis.call('ZADD', prefix .. 'leases', 'NX', now + lease, row['name'])
        elseif repair then
          redis.pcall('XGROUP', 'DELCONSUMER', key, GROUP, row['name'])
        end
        rows[#rows + 1] = {kind, row['name'], lane, repair and '1' or '0'}
      end
    end
  end
end
return rows
