-- List dead letters, newest first. ARGV: the place to begin before ('+' for the newest, '(<letter id>'), most
-- Returns for each {letter id, queue, lane, reason, task id, its state, name of its definition as far as the message's
-- beginning tells, bytes of the message}; what is not known is ''
local rows = {}
for at, letter in ipairs(redis.call('XREVRANGE', prefix .. 'dead', ARGV[1], '-', 'COUNT', ARGV[2])) do
  local row, fields = {}, letter[2]
  for i = 1, #fields, 2 do row[fields[i]] = fields[i + 1] end
  local id, message = row.t or '', row.m or ''
  local state = id ~= '' and redis.call('HGET', task_key(id), 'state') or ''
  local name = string.match(string.sub(message, 1, 65536), '"task"%s*:%s*"([^"\\]+)"') or ''
  rows[at] = {letter[1], row.queue or '', row.lane or '', row.reason or '', id, state, name, #message}
end
return rows
