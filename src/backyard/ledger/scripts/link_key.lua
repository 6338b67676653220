-- The key that public links are signed with. ARGV: random bytes, which become the key where there is none
local place = prefix .. 'link_key'
local there = redis.call('GET', place)
if there then return there end
redis.call('SET', place, ARGV[1])
return ARGV[1]
