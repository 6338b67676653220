-- Ids of tasks, newest first. Walks the index in bounded steps; the caller goes on from the cursor it gets back.
-- ARGV: wanted states (',A,B,' or ''), name ('' any), most, steps, cursor score ('' newest), cursor id
-- Returns {score, id of the last one looked at, or '' at the end; ids}
local states, name, most, steps = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local score, last = ARGV[5], ARGV[6]
local found, looked = {}, 0
local index = prefix .. 'tasks'
local top = score == '' and '+inf' or score
local skip = score ~= ''
local offset = 0
while looked < steps and #found < most do
  local rows = redis.call('ZRANGE', index, top, '-inf', 'BYSCORE', 'REV', 'LIMIT', offset, 200, 'WITHSCORES')
  if #rows == 0 then return {'', '', found} end
  offset = offset + 200
  for i = 1, #rows, 2 do
    local id, at = rows[i], rows[i + 1]
    if not (skip and at == score and id >= last) then
      looked = looked + 1
      local record = redis.call('HMGET', task_key(id), 'state', 'name')
      if record[1] and (states == '' or string.find(states, ',' .. record[1] .. ',', 1, true))
        and (name == '' or record[2] == name) then found[#found + 1] = id end
      if #found >= most or looked >= steps then return {at, id, found} end
    end
  end
end
return {'', '', found}
