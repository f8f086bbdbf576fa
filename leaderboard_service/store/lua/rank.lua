-- Where single users stand, for all who ask at once.
-- KEYS    1 meta   2 profiles
-- ARGV    1 prefix of board keys   2 JSON [[board, user], ...]
-- answer  {0} when the generation is gone, else {1, stamp, answers}: per ask {total, standing}
--         (prelude), or false when the board has lost members.
-- cost    O(log members) per ask; about 6 commands.

local stamp = stamp_of(KEYS[1], KEYS[2])
if not stamp then
  return { 0 }
end
local totals, answers = {}, {}
for i, ask in ipairs(cjson.decode(ARGV[2])) do
  local board = ask[1]
  if totals[board] == nil then
    totals[board] = members(KEYS[1], ARGV[1], board) or false
  end
  local total = totals[board]
  answers[i] = total and { total, standing(ARGV[1] .. board, KEYS[2], ask[2], total) }
end
return { 1, stamp, answers }
