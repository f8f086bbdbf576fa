-- The scores of some users on one board, and those kept beside it in case they are hidden.
-- KEYS, ARGV 1 and 2, answer: see part.lua
-- ARGV    3 board   4 and on: users, at most 500
-- answer  and 'counted', 'miscounted' or 'dropped' (the period is kept no more), then
--         {negated score or nil, ...} on the board, {score or nil, ...} beside it
-- cost    O(users x log members), one command for each user.

local board = ARGV[3]
local state = board_state(board)
local users = { unpack(ARGV, 4) }
if state == 'dropped' or #users == 0 then
  return answer(state, {}, {})
end
local on_board, kept = {}, {}
local scores = size('ZCARD', board_prefix .. board) > 0
  and redis.call('ZMSCORE', board_prefix .. board, unpack(users))
for i, user in ipairs(users) do
  on_board[i] = scores and scores[i] or false
  local score = redis.pcall('HGET', hidden_prefix .. user, board)
  kept[i] = type(score) == 'string' and score
end
return answer(state, on_board, kept)
