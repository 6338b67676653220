-- Submit ticks of a schedule and note what becomes of it, in one step, if it still is what its reader has read: of two
-- keepers one does it, and no fault comes in between. Ends the script `submit`, which is here as a function.
-- ARGV: events_kept, id, version that was read, millisecond of the next look or '+inf', state (JSON), task to be cancelled or
--   '', submissions as in `submit`
-- Returns {'fired', the answers of `submit`}, {'stale'}, or {'full'}, where the queue has no room and nothing was done
local kept, id, known, look, state, previous = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6]
local key = prefix .. 'schedule:' .. id
if redis.call('HGET', key, 'version') ~= known then return {'stale'} end
local words = {kept}
for i = 7, #ARGV do words[#words + 1] = ARGV[i] end
local answers = submit(words)
if answers[1] and answers[1][1] == 'full' then return {'full'} end
-- One that is to be unique may have given the task before back, for the new one: then there is none to run in its place.
if previous ~= '' and answers[#answers][2] ~= previous then
  cancel_task(kept, previous, true, 'The next tick of its schedule came.')
end
redis.call('HSET', key, 'version', string.format('%.0f', known + 1), 'state', state)
if answers[1] then redis.call('HSET', key, 'last_task', answers[#answers][2]) end
redis.call('ZADD', prefix .. 'schedules', look, id)
return {'fired', answers}
