-- What ended a process under a task: which attempt that was, when, and what is known of it (JSON). Ten are kept.
local function keep_evidence(id, attempt, reason, known)
  local readable, item = pcall(cjson.decode, known or '{}')
  if not readable or type(item) ~= 'table' then item = {} end
  local record = redis.call('HMGET', task_key(id), 'evidence', 'worker')
  item.attempt, item.reason, item.at = tonumber(attempt), reason, now / 1000
  item.worker = item.worker or record[2] or nil
  local list
  readable, list = pcall(cjson.decode, record[1] or '[]')
  if not readable or type(list) ~= 'table' then list = {} end
  list[#list + 1] = item
  if #list > 10 then table.remove(list, 1) end
  redis.call('HSET', task_key(id), 'evidence', cjson.encode(list))
end

-- End a task that took its own process or its worker with it as often as it may; says whether it did.
local function quarantined(kept, id, attempt, losses, crashes, kind)
  local key = task_key(id)
  local record = redis.call('HMGET', key, 'lost', 'crashed', 'evidence')
  local lost, crashed = tonumber(record[1] or '0'), tonumber(record[2] or '0')
  local why
  if crashed >= tonumber(crashes) then
    why = 'The process that ran the task died under it, ' .. crashed .. (crashed == 1 and ' time.' or ' times.')
  elseif lost >= tonumber(losses) then
    why = 'The worker that ran the task was lost with it, ' .. lost .. (lost == 1 and ' time.' or ' times.')
  else
    return false
  end
  local failure = '{"kind":"' .. kind .. '","type":"' .. (kind == 'quarantined' and 'Quarantined' or 'WorkerLost')
    .. '","message":"' .. why .. '"' .. (record[3] and ',"evidence":' .. record[3] or '') .. '}'
  local said = finish(kept, id, 'FAILURE', nil, 'failure', failure)
  emit(kept, id, 'state', 'FAILURE', attempt, '{"kind":"' .. kind .. '","message":"' .. why .. '"}', said)
  count(kind)
  return true
end

-- Whether a task has lost half as many workers as it may. Suspects run one at a time: whoever ran beside the culprit is
-- not lost with it again, and only the culprit gets to the limit.
local function suspect(id, losses)
  return 2 * tonumber(redis.call('HGET', task_key(id), 'lost') or '0') >= tonumber(losses)
end

-- Somebody renews: after a silence of all (the server was away or frozen) nobody is declared dead for one lease.
local function beat(lease)
  local pulse = prefix .. 'pulse'
  local last = tonumber(redis.call('HGET', pulse, 'last') or '0')
  if now - last > lease / 2 then redis.call('HSET', pulse, 'grace', now + lease) end
  redis.call('HSET', pulse, 'last', now, 'lease', lease)
end

-- Give one entry of a lane back to its queue: first in line, with the record put back to PENDING.
-- Reasons that count: 'crashed', the process that ran the task died, and 'worker_lost', its whole worker did.
-- An entry that is not its task's living one (a doubled, retried or final task) is dropped instead, and so is one whose
-- task was told to stop while it ran: it has stopped now.
local COUNTED = {crashed = 'crashed', worker_lost = 'lost'}

local function give_back(kept, queue, lane, entry, reason, evidence)
  local key = lane_key(queue, lane)
  local found = redis.call('XRANGE', key, entry, entry)
  if #found == 0 then redis.pcall('XACK', key, GROUP, entry) return 'gone' end
  local fields = found[1][2]
  local id, message, again = nil, nil, '1'
  for i = 1, #fields, 2 do
    if fields[i] == 't' then id = fields[i + 1] elseif fields[i] == 'm' then message = fields[i + 1] end
    -- What was handed out and given back untouched has met nothing.
    if fields[i] == 'r' and reason == 'released' then again = fields[i + 1] end
  end
  local outcome = 'returned'
  if id and id ~= '' then
    local record = redis.call('HMGET', task_key(id), 'state', 'attempt', 'entry', 'cancel', 'last_entry')
    local state = record[1]
    if (state == 'SUCCESS' or state == 'FAILURE') and record[5] == lane .. '/' .. entry then
      keep_word(id, message or '')  -- its worker died between storing the outcome and telling the canvas
      outcome = 'dropped'
    elseif not state or record[3] ~= lane .. '/' .. entry then
      outcome = 'dropped'
    elseif (state == 'STARTED' or state == 'PROGRESS') and record[4] then
      local said = finish(kept, id, 'REVOKED')
      emit(kept, id, 'state', 'REVOKED', record[2], '{"reason":"cancelled"}', said)
      outcome = 'dropped'
    elseif state == 'STARTED' or state == 'PROGRESS' then
      if COUNTED[reason] then
        redis.call('HINCRBY', task_key(id), COUNTED[reason], 1)
        keep_evidence(id, record[2], reason, evidence and (evidence[id] or evidence['']))
      end
      redis.call('HSET', task_key(id), 'state', 'PENDING')
      redis.call('HDEL', task_key(id), 'progress', 'label', 'custom')
      watch_expiry(id)
      emit(kept, id, 'state', 'PENDING', record[2], '{"reason":"' .. reason .. '"}')
    elseif state ~= 'PENDING' then
      outcome = 'dropped'
    end
  end
  drop_entry(key, entry)
  if outcome == 'returned' then enqueue(queue, 'again', id or '', message or '', again) end
  count(outcome)
  return outcome
end

-- Give back what a dead consumer holds, and forget the consumer; at most so many entries.
-- Evidence is known by task id, or by '' for all. Returns entries given back, and whether more are left.
local function bury(kept, consumer, queues, most, reason, evidence)
  local back = 0
  for _, queue in ipairs(queues) do
    for _, lane in ipairs(LANES) do
      local key = lane_key(queue, lane)
      local pending = redis.pcall('XPENDING', key, GROUP, '-', '+', most - back + 1, consumer)
      if not pending.err then
        for _, row in ipairs(pending) do
          if back >= most then return back, true end
          give_back(kept, queue, lane, row[1], reason, evidence)
          back = back + 1
        end
        -- An empty consumer is forgotten; one that holds entries never is, since they would be lost with it.
        redis.pcall('XGROUP', 'DELCONSUMER', key, GROUP, consumer)
      end
    end
  end
  redis.call('ZREM', prefix .. 'leases', consumer)
  return back, false
end
