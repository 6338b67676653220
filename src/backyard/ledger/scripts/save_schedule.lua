-- Make or change a schedule, if it still is what its writer has read.
-- ARGV: id, version that was read ('' where there is to be none), millisecond of the next look or '+inf', schedules that the
--   yard may have, spec (JSON), state (JSON)
-- Returns {'saved', version}, {'stale', version or ''} or {'full', ''}
local id, known, look, most = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])
local key, all = prefix .. 'schedule:' .. id, prefix .. 'schedules'
local version = redis.call('HGET', key, 'version') or ''
if version ~= known then return {'stale', version} end
if version == '' and redis.call('ZCARD', all) >= most then return {'full', ''} end
-- A schedule that is made anew goes on counting from the time: who has read the one before it never takes this for it.
local following = string.format('%.0f', version == '' and now or tonumber(version) + 1)
redis.call('HSET', key, 'version', following, 'spec', ARGV[5], 'state', ARGV[6])
redis.call('ZADD', all, look, id)
return {'saved', following}
