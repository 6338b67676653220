-- Renew leases for a process that cannot do so itself just now. One that was given up or reaped is not taken anew.
-- ARGV: lease (ms), then consumers. Returns the number of leases renewed.
local lease = tonumber(ARGV[1])
beat(lease)
local renewed = 0
for i = 2, #ARGV do
  if redis.call('ZSCORE', prefix .. 'leases', ARGV[i]) then
    redis.call('ZADD', prefix .. 'leases', now + lease, ARGV[i])
    renewed = renewed + 1
  end
end
return renewed
