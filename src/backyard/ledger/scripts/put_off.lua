-- Put off a task whose name this worker does not know, while another that lives and reads its queue does.
-- ARGV: events_kept, queue, lane, entry id, this worker's name, the task's name and the queue's (as JSON has them), most
--   times a task is put off
-- Returns 'put_off'; 'alone', no other worker knows it; 'often', it was put off too often; 'other', it is not this entry's
local kept, queue, lane, entry, me, task, place, most = unpack(ARGV)
local key = lane_key(queue, lane)
local found = redis.call('XRANGE', key, entry, entry)
if #found == 0 then return 'other' end
local id, message
for i = 1, #found[1][2], 2 do
  local field = found[1][2][i]
  if field == 't' then id = found[1][2][i + 1] elseif field == 'm' then message = found[1][2][i + 1] end
end
local record = redis.call('HMGET', task_key(id or ''), 'state', 'attempt', 'entry', 'put_off')
if record[1] ~= 'PENDING' or record[3] ~= lane .. '/' .. entry then return 'other' end

local function knows(name)
  if name == me then return false end
  local said = redis.call('HMGET', prefix .. 'worker:' .. name, 'beat', 'lease', 'state', 'queues', 'definitions')
  return said[1] and said[3] == 'running' and now - said[1] <= tonumber(said[2])
    and string.find(said[4], place, 1, true) and string.find(said[5], task .. ':', 1, true)
end

local known = false
for _, name in ipairs(redis.call('ZREVRANGE', prefix .. 'workers', 0, 999)) do known = known or knows(name) end
if not known then return 'alone' end
local times = tonumber(record[4] or '0')
if times >= tonumber(most) then return 'often' end
-- Soon at first; the one that knows it may be busy for long.
local due = now + (times < 10 and 1000 or 5000)
drop_entry(key, entry)
redis.call('HDEL', task_key(id), 'entry')
release(kept, id)
redis.call('HSET', task_key(id), 'state', 'SCHEDULED', 'message', message, 'due', due, 'put_off', times + 1)
redis.call('ZADD', prefix .. 'due', due, id)
count('put_off')
emit(kept, id, 'state', 'SCHEDULED', record[2] or '0', '{"reason":"put_off","worker":' .. cjson.encode(me) .. '}')
return 'put_off'
