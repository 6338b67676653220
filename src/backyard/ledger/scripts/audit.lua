-- Put an operator's write onto the stream of news, from where it comes into the history. ARGV: events_kept, data (JSON)
-- Returns the event's id
return redis.call('XADD', prefix .. 'events', 'MAXLEN', '~', most_events(ARGV[1]), '*',
  'task', '', 'event', 'audit', 'state', '', 'attempt', '0', 'data', ARGV[2])
