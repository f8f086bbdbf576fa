-- Empties a board, those who are hidden included. One that is not kept, or that nobody is on,
-- needs no more than the position.
-- KEYS, ARGV 1 to 9, answer: see step.lua
-- ARGV    10 board
-- cost    O(boards + hidden users who have scores), five commands for each of those users: meta
--         counts them, so that no other user is looked at. The members are freed beside.

local board = ARGV[10]

if not keeps(floors, board) then
  return advance()
end
touch_board(board)
local users = counted('h:')
for _, user in ipairs(users) do
  touch_hidden(user)
end
if broken then
  return { 'broken', broken }
end

redis.call('UNLINK', board_prefix .. board)
for _, user in ipairs(users) do
  redis.call('HDEL', hidden_prefix .. user, board)
end
return advance()
