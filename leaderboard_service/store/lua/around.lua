-- The entries around single users, for all who ask at once.
-- KEYS    1 meta   2 profiles
-- ARGV    1 prefix of board keys   2 JSON [[board, user, count], ...]
-- answer  {0} when the generation is gone, else {1, stamp, answers}: per ask
--         {total, then the four of `slice` (prelude)}, without entries when the user is not on
--         the board; false when the board has lost members.
-- cost    O(log members + count).

local stamp = stamp_of(KEYS[1], KEYS[2])
if not stamp then
  return { 0 }
end

local function around(board, user, count)
  local total = members(KEYS[1], ARGV[1], board)
  if not total then
    return false
  end
  local key = ARGV[1] .. board
  local index = redis.call('ZRANK', key, user)
  if not index then
    return { total, 0, 0, {}, {} }
  end
  local first = math.min(index - math.floor(count / 2), total - count)
  return { total, slice(key, KEYS[2], math.max(first, 0), count) }
end

local answers = {}
for i, ask in ipairs(cjson.decode(ARGV[2])) do
  answers[i] = around(unpack(ask))
end
return { 1, stamp, answers }
