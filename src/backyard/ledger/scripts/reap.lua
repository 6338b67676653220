-- Take back what dead consumers hold: those whose lease ran out. Bounded, so that the server never stops for it.
-- ARGV: events_kept, most at once. Returns the number of entries given back.
local kept, most = ARGV[1], tonumber(ARGV[2])
local pulse = redis.call('HMGET', prefix .. 'pulse', 'grace', 'last', 'lease')
if now < tonumber(pulse[1] or '0') then return 0 end
-- Whoever asks has just renewed. If that is long ago, the server was frozen in between, and others may live.
if pulse[3] and now - tonumber(pulse[2]) > tonumber(pulse[3]) / 2 then return 0 end
local back = 0
local dead = redis.call('ZRANGEBYSCORE', prefix .. 'leases', '-inf', now, 'LIMIT', 0, 10)
if #dead == 0 then return back end
local queues = redis.call('SMEMBERS', prefix .. 'queues')
for _, consumer in ipairs(dead) do
  -- A consumer's name begins with its host. Nobody saw how it ended.
  local evidence = {[''] = cjson.encode({host = string.match(consumer, '^[^:]+')})}
  local given, left = bury(kept, consumer, queues, most - back, 'worker_lost', evidence)
  back = back + given
  if left then return back end
  count('workers_lost')
end
return back
