-- Cancel tasks: a waiting one is over at once and its entry is gone; a running one is told.
-- ARGV: events_kept, then ids. Returns for each {outcome, state}: cancelled, requested, final, unknown
local kept = ARGV[1]
local answers = {}
for i = 2, #ARGV do
  local id = ARGV[i]
  local key = task_key(id)
  local record = redis.call('HMGET', key, 'state', 'attempt', 'queue', 'entry', 'cancel')
  local state, attempt = record[1], record[2] or '0'
  if not state then
    answers[#answers + 1] = {'unknown', ''}
  elseif state == 'PENDING' or state == 'SCHEDULED' or state == 'RETRY' then
    if record[4] then
      local slash = string.find(record[4], '/', 1, true)
      drop_entry(lane_key(record[3], string.sub(record[4], 1, slash - 1)), string.sub(record[4], slash + 1))
    end
    redis.call('ZREM', prefix .. 'due', id)
    redis.call('HSET', key, 'state', 'REVOKED', 'cancel', now)
    finish(id)
    emit(kept, id, 'state', 'REVOKED', attempt, '{"reason":"cancelled"}')
    answers[#answers + 1] = {'cancelled', 'REVOKED'}
  elseif state == 'STARTED' or state == 'PROGRESS' then
    if not record[5] then
      redis.call('HSET', key, 'cancel', now)
      emit(kept, id, 'cancel', state, attempt, 'null')
    end
    answers[#answers + 1] = {'requested', state}
  else
    answers[#answers + 1] = {'final', state}
  end
end
return answers
