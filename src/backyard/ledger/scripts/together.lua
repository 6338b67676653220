-- Several calls of a worker in one step: how attempts ended, what entries go, and which attempts begin.
-- ARGV: for each call its name (move, acknowledge or start), the number of its words, and those, as its own script has them
-- Returns the answer of each
local answers, at = {}, 1
while at <= #ARGV do
  local name, size = ARGV[at], tonumber(ARGV[at + 1])
  local words = {unpack(ARGV, at + 2, at + 1 + size)}
  local call = name == 'move' and move or name == 'start' and start or acknowledge
  answers[#answers + 1] = call(words)
  at = at + 2 + size
end
return answers
