-- Pages of boards, for all who ask at once.
-- KEYS    1 meta   2 profiles
-- ARGV    1 prefix of board keys
--         2 JSON [[board, size, negated score, user after whom it begins ("" for the top),
--           position of the page that the caller has ("" for none), user to add ("")], ...]
-- answer  {0} when the generation is gone, else {1, stamp, answers}: per ask
--         {total, standing of the added user or false, more (0 or 1), then the four of
--         `slice` (prelude)}, without the last five when the caller has the
--         page; false when the board has lost members.
-- cost    O(log members + size); within a tie a binary search.

local stamp = stamp_of(KEYS[1], KEYS[2])
if not stamp then
  return { 0 }
end
local position = stamp[1] .. ':' .. stamp[2]

-- The index of the first entry after (score, user), whether that user still stands there or not.
local function index_after(key, score, user)
  if redis.call('ZSCORE', key, user) == score then
    return redis.call('ZRANK', key, user) + 1
  end
  local low = redis.call('ZCOUNT', key, '-inf', '(' .. score)
  local high = low + redis.call('ZCOUNT', key, score, score)
  while low < high do
    local middle = math.floor((low + high) / 2)
    if precedes(user, redis.call('ZRANGE', key, middle, middle)[1]) then
      high = middle
    else
      low = middle + 1
    end
  end
  return low
end

local function page(board, count, score, user, has, added)
  local total = members(KEYS[1], ARGV[1], board)
  if not total then
    return false
  end
  local key = ARGV[1] .. board
  local also = added ~= '' and standing(key, KEYS[2], added, total)
  if has == position then
    return { total, also }
  end
  local first = user == '' and 0 or index_after(key, score, user)
  return { total, also, first + count < total and 1 or 0, slice(key, KEYS[2], first, count) }
end

local answers = {}
for i, ask in ipairs(cjson.decode(ARGV[2])) do
  answers[i] = page(unpack(ask))
end
return { 1, stamp, answers }
