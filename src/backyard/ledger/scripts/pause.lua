-- Pause a queue or a definition: workers take and start nothing of it. ARGV: 'queue:<name>' or 'definition:<name>',
--   reason (JSON). Returns 1 where it was not paused before; else since when stays, and the reason is the new one.
local paused, what, reason = prefix .. 'paused', ARGV[1], ARGV[2]
local since = now
local known = redis.call('HGET', paused, what)
if known then
  local readable, row = pcall(cjson.decode, known)
  since = readable and row.since or now
end
redis.call('HSET', paused, what, '{"since":' .. string.format('%.0f', since) .. ',"reason":' .. reason .. '}')
return known and 0 or 1
