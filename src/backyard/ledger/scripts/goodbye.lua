-- A worker ends. ARGV: name, instance
local key = prefix .. 'worker:' .. ARGV[1]
if redis.call('HGET', key, 'instance') ~= ARGV[2] then return 0 end
redis.call('DEL', key)
redis.call('ZREM', prefix .. 'workers', ARGV[1])
return 1
