-- Read the records of tasks. ARGV: ids. Returns for each its fields and values, an empty list where there is none
local found = {}
for i = 1, #ARGV do found[i] = redis.call('HGETALL', task_key(ARGV[i])) end
return found
