-- Give back what the consumers of a dead process hold, told by who saw it die: at once, not after the lease.
-- ARGV: events_kept, most at once, the report (JSON): consumers, reason, and evidence (JSON texts) by task id, '' for all
-- Returns {entries given back, 1 if more are left}
local kept, most, report = ARGV[1], tonumber(ARGV[2]), cjson.decode(ARGV[3])
local queues = redis.call('SMEMBERS', prefix .. 'queues')
local back = 0
for _, consumer in ipairs(report.consumers) do
  local given, left = bury(kept, consumer, queues, most - back, report.reason, report.evidence)
  back = back + given
  if left then return {back, 1} end
end
if report.reason == 'worker_lost' then count('workers_lost') end
return {back, 0}
