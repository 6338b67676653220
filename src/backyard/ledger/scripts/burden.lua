-- Count what lies in the yard. Returns {time, dead letters, due, overdue by five seconds, then queue and waiting tasks}
local due = prefix .. 'due'
local answer = {now, redis.call('XLEN', prefix .. 'dead'), redis.call('ZCARD', due), redis.call('ZCOUNT', due, '-inf', now - 5000)}
for _, queue in ipairs(redis.call('SMEMBERS', prefix .. 'queues')) do
  local ready = redis.call('SCARD', prefix .. 'parked_of:' .. queue)
  for _, lane in ipairs(LANES) do
    ready = ready + ready_in(lane_key(queue, lane))
  end
  answer[#answer + 1] = queue
  answer[#answer + 1] = ready
end
return answer
