-- History holds all events up to one: say so, and trim the stream, but never what is not recorded yet.
-- ARGV: events_kept, id of that event, who has recorded it, most events the stream may have before the oldest are lost,
--   '1' if nothing was waiting behind it. Returns the number of events on the stream
local kept, position, who, most, caught_up = unpack(ARGV)
redis.call('HSET', prefix .. 'recorder', 'position', position, 'keeper', who, 'at', now, 'most', most)
local stream = prefix .. 'events'
if caught_up == '1' and redis.call('XLEN', stream) > tonumber(kept) then
  local waiting = redis.call('XRANGE', stream, '(' .. position, '+', 'COUNT', kept)
  if #waiting < tonumber(kept) then redis.call('XTRIM', stream, 'MAXLEN', '~', kept) end
end
return redis.call('XLEN', stream)
