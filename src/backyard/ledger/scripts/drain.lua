-- Tell workers to drain; each hears it with its next beat. ARGV: the wish (JSON), then names
-- Returns 1 or 0 for each name: whether there is such a worker
local told = {}
for i = 2, #ARGV do
  local key = prefix .. 'worker:' .. ARGV[i]
  told[i - 1] = redis.call('EXISTS', key)
  if told[i - 1] == 1 then redis.call('HSET', key, 'drain', ARGV[1]) end
end
return told
