-- Removes a user, known or not: from every board, the scores kept while hidden, the profile.
-- KEYS, ARGV 1 to 9, answer: see step.lua
-- ARGV    10 user
-- cost    O(boards), three commands each.

local user = ARGV[10]

touch_hidden(user)
for _, board in ipairs(counted('n:')) do
  if not members(meta, board_prefix, board) then
    return { 'broken', board }
  end
  if redis.call('ZSCORE', board_prefix .. board, user) then
    touched[board] = true
  end
end
if broken then
  return { 'broken', broken }
end

for board in pairs(touched) do
  redis.call('ZREM', board_prefix .. board, user)
end
redis.call('DEL', hidden_prefix .. user)
redis.call('HDEL', profiles, user)
return advance()
