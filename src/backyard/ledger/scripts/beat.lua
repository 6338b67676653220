-- A worker says that it lives, and hears what it was told. Only the process that holds the name may speak for it.
-- ARGV: name, instance, lease (ms), state, memory (bytes), busy cores or '', ids of running tasks (JSON)
-- Returns {'known', wish to drain or ''}, {'unknown'} (introduce yourself) or {'taken'} (another process has the name)
local name, instance, lease, state, rss, cpu, running = unpack(ARGV)
local key = prefix .. 'worker:' .. name
local held = redis.call('HGET', key, 'instance')
if not held then return {'unknown'} end
if held ~= instance then return {'taken'} end
redis.call('HSET', key, 'beat', now, 'state', state, 'rss', rss, 'cpu', cpu, 'running', running)
redis.call('PEXPIRE', key, 3 * lease)
local names = prefix .. 'workers'
redis.call('ZADD', names, now, name)
redis.call('ZREMRANGEBYSCORE', names, '-inf', '(' .. (now - 3 * lease))
redis.call('PEXPIRE', names, 3 * math.max(lease, redis.call('PTTL', names) / 3))
return {'known', redis.call('HGET', key, 'drain') or ''}
