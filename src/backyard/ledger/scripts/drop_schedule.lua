-- Delete a schedule, if it still is what its reader has read. ARGV: id, version. Returns 1 where it is gone now
local key = prefix .. 'schedule:' .. ARGV[1]
local version = redis.call('HGET', key, 'version')
if version and version ~= ARGV[2] then return 0 end
redis.call('DEL', key)
redis.call('ZREM', prefix .. 'schedules', ARGV[1])
return 1
