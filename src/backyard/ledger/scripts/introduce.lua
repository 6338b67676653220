-- A worker says who it is. The latest to say so has the name: a dead one never speaks again, a living one takes another.
-- ARGV: name, instance, lease (ms), milliseconds since it started, then pairs of field and value
local name, instance, lease, age = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local key = prefix .. 'worker:' .. name
redis.call('DEL', key)
redis.call('HSET', key, 'instance', instance, 'lease', lease, 'started', now - age, 'beat', now, unpack(ARGV, 5))
redis.call('PEXPIRE', key, 3 * lease)
redis.call('ZADD', prefix .. 'workers', now, name)
redis.call('PEXPIRE', prefix .. 'workers', 3 * math.max(lease, redis.call('PTTL', prefix .. 'workers') / 3))
return 1
