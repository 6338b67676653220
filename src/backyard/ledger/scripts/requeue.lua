-- Put a dead letter back into its queue and take it off the dead-letter stream, in one step. The task that it ended has a
-- new life, as by a submit of the same id; one whose record is gone has a record again. Ends the script `submit`, which is
-- here as a function.
-- ARGV: events_kept, letter id, then of a record that is gone: its lifetime, name and input, as the message tells them
-- Returns {'requeued', queue}, {'gone'}, {'empty'} (there is no message), or {'lives', state of its task}, where the letter
-- stays: its task has been submitted anew since
local kept, letter, lifetime, name, input = unpack(ARGV)
local found = redis.call('XRANGE', prefix .. 'dead', letter, letter)
if #found == 0 then return {'gone'} end
local row, fields = {}, found[1][2]
for i = 1, #fields, 2 do row[fields[i]] = fields[i + 1] end
if not row.queue or not row.m then return {'empty'} end
local lane = (row.lane and row.lane ~= 'again') and row.lane or 'normal'
local id = row.t or ''
if id == '' then
  append(row.queue, lane, id, row.m, '0')
else
  local record = redis.call('HMGET', task_key(id), 'state', 'lane')
  if record[1] and record[1] ~= 'FAILURE' then return {'lives', record[1]} end
  local words = {kept, id, 'again', row.queue, record[2] or lane, '', '', '', '', '0', '', '', '', row.m, '0'}
  if not record[1] then
    words[#words] = '6'
    for _, word in ipairs({'lifetime', lifetime, 'name', name, 'input', input}) do words[#words + 1] = word end
  end
  submit(words)
end
redis.call('XDEL', prefix .. 'dead', letter)
count('requeued')
return {'requeued', row.queue}
