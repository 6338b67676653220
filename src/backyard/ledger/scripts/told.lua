-- Celery's canvas was told of tasks. ARGV: ids
for i = 1, #ARGV do
  redis.call('LREM', prefix .. 'untold', 0, ARGV[i])
  redis.call('HDEL', task_key(ARGV[i]), 'untold', 'telling')
end
return #ARGV
