-- Some of the members of each of some boards, to be called with the cursors of the answer before
-- until a board's is "0"; whoever is on it all the while is in at least one answer.
-- KEYS, ARGV 1 and 2, answer: see part.lua
-- ARGV    3 about how many members of each   4 and on: board, cursor ("0" at first), ...
-- answer  and for each board {'counted', 'miscounted' or 'dropped' (the period is kept no more),
--         cursor, {user, negated score, ...}}
-- cost    O(boards + members asked for).

local found = {}
for i = 4, #ARGV, 2 do
  local board = ARGV[i]
  local key, state, scan = board_prefix .. board, board_state(board), { '0', {} }
  if state ~= 'dropped' and size('ZCARD', key) > 0 then
    scan = redis.call('ZSCAN', key, ARGV[i + 1], 'COUNT', ARGV[3])
  end
  found[#found + 1] = { state, scan[1], scan[2] }
end
return answer(found)
