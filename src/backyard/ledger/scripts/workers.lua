-- The workers that spoke lately, latest first. ARGV: most. Returns the time, then for each its name and its fields
local rows = {now}
for _, name in ipairs(redis.call('ZREVRANGE', prefix .. 'workers', 0, ARGV[1] - 1)) do
  local fields = redis.call('HGETALL', prefix .. 'worker:' .. name)
  if #fields > 0 then rows[#rows + 1] = {name, fields} end
end
return rows
