-- The running attempt knows that it is to stop.
local function see_cancel(kept, id, state, attempt)
  if redis.call('HSETNX', task_key(id), 'cancel_seen', now) == 1 then
    emit(kept, id, 'cancel', state, attempt, '{"stage":"seen"}')
  end
end

-- The children of a cancelled task are to be gone through, once.
local function mark_tree(id)
  if redis.call('HSETNX', task_key(id), 'cancel_tree', 1) == 1 and redis.call('EXISTS', prefix .. 'children:' .. id) == 1 then
    redis.call('RPUSH', prefix .. 'cancelling', '0 ' .. id)
  end
end

-- Cancel a task: a waiting one is over at once, a running one is told. With tree, its children are as well, step by step.
-- A gentle cancel never comes to force, unless another is not gentle.
-- Returns {outcome, state}: cancelled, requested, final, unknown
local function cancel_task(kept, id, tree, reason, gentle)
  local key = task_key(id)
  local record = redis.call('HMGET', key, 'state', 'attempt', 'queue', 'entry', 'cancel')
  local state, attempt = record[1], record[2] or '0'
  if not state then return {'unknown', ''} end
  if state == 'SUCCESS' or state == 'FAILURE' or state == 'REVOKED' then return {'final', state} end
  if tree then mark_tree(id) end
  if not record[5] then
    redis.call('HSET', key, 'cancel', now)
    if reason then redis.call('HSET', key, 'cancel_reason', reason) end
  end
  if state == 'STARTED' or state == 'PROGRESS' then
    if not gentle then
      redis.call('HDEL', key, 'gentle')
    elseif not record[5] then
      redis.call('HSET', key, 'gentle', 1)
    end
    if not record[5] then emit(kept, id, 'cancel', state, attempt, '{"stage":"requested"}') end
    return {'requested', state}
  end
  redis.call('ZREM', prefix .. 'due', id)
  local said = finish(kept, id, 'REVOKED')
  if record[4] then
    local lane, entry = string.match(record[4], '^(%a+)/(.+)$')
    drop_entry(lane_key(record[3], lane), entry)
  end
  emit(kept, id, 'state', 'REVOKED', attempt, '{"reason":"cancelled"}', said)
  return {'cancelled', 'REVOKED'}
end

-- Go on cancelling the children of cancelled tasks, at most about so many. The list holds '<cursor> <id>', a task whose
-- children are gone through from there on, and 'self <id>', a task that is to be cancelled. Returns what is left on it.
local function descend(kept, most)
  local list = prefix .. 'cancelling'
  local done = 0
  local function cancel_child(id, parent)
    local outcome = cancel_task(kept, id, true, parent and 'Its parent ' .. parent .. ' was cancelled.')[1]
    -- What is over may have submitted what is not.
    if outcome == 'final' then mark_tree(id) end
    done = done + 1
  end
  while done < most do
    local row = redis.call('LPOP', list)
    if not row then return 0 end
    local cursor, id = string.match(row, '^(%w+) (.*)$')
    if cursor == 'self' then
      cancel_child(id, redis.call('HGET', task_key(id), 'under') or nil)
    else
      local found = redis.call('SSCAN', prefix .. 'children:' .. id, cursor, 'COUNT', most)
      for _, child in ipairs(found[2]) do cancel_child(child, id) end
      if found[1] ~= '0' then redis.call('LPUSH', list, found[1] .. ' ' .. id) end
      done = done + 1
    end
  end
  return redis.call('LLEN', list)
end

-- A final task runs anew.
local function forget_cancel(id)
  redis.call('HDEL', task_key(id), 'cancel', 'cancel_seen', 'cancel_by', 'cancel_reason', 'cancel_tree', 'cancel_held',
    'gentle', 'under', 'has_children')
  redis.call('DEL', prefix .. 'children:' .. id)
end

-- A task was submitted from inside another, or by the success of one: note whose child it is. A parent that has been
-- cancelled with its children gets no more of them.
local function adopt(id, under)
  for _ = 1, 16 do
    if not under or under == '' or under == id then return end
    local parent = redis.call('HMGET', task_key(under), 'state', 'parent_id', 'cancel_tree')
    if not parent[1] or parent[1] == 'FAILURE' or parent[1] == 'REVOKED' then return end
    if parent[1] ~= 'SUCCESS' then
      redis.call('SADD', prefix .. 'children:' .. under, id)
      redis.call('HSET', task_key(under), 'has_children', 1)
      redis.call('HSET', task_key(id), 'under', under)
      if parent[3] then redis.call('RPUSH', prefix .. 'cancelling', 'self ' .. id) end
      return
    end
    under = parent[2]
  end
end
