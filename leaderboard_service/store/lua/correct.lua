-- Sets the score of one user, hidden or not, on one board; on one that is not kept, only the
-- position moves. Whose score it is must be known: a profile comes before every score.
-- KEYS, ARGV 1 to 9, answer: see step.lua
-- ARGV    10 board   11 user   12 score, 0 to 2^53 - 1; with 0 the user is not on the board
-- cost    O(log members).

local board, user, score = ARGV[10], ARGV[11], tonumber(ARGV[12])

local profile = redis.call('HGET', profiles, user)
if not profile then
  return { 'broken', 'profile of ' .. user }
end
if not score or score < 0 or score > MAX_SCORE or score % 1 ~= 0 then
  return { 'broken', 'score of ' .. user }
end
if not keeps(floors, board) then
  return advance()
end
if is_hidden(profile) then
  touch_hidden(user)
else
  touch_board(board)
end
if broken then
  return { 'broken', broken }
end

if is_hidden(profile) then
  if score > 0 then
    redis.call('HSET', hidden_prefix .. user, board, int(score))
  else
    redis.call('HDEL', hidden_prefix .. user, board)
  end
elseif score > 0 then
  redis.call('ZADD', board_prefix .. board, int(-score), user)
else
  redis.call('ZREM', board_prefix .. board, user)
end
return advance()
