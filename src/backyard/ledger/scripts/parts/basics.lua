-- What the scripts share; each gets what it uses of it put before it. KEYS[1] is the yard's prefix. All times are the
-- server's own, in milliseconds.
local prefix = KEYS[1]

local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local GROUP = 'workers'
local LANES = {'again', 'high', 'normal', 'low'}

local function task_key(id) return prefix .. 'task:' .. id end
local function lane_key(queue, lane) return prefix .. 'queue:' .. queue .. ':' .. lane end
local function count(name, by) redis.call('HINCRBY', prefix .. 'counts', name, by or 1) end
