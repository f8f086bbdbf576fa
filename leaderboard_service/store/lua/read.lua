-- What the scripts share that answer about one part of the boards; put between the prelude and
-- each of them. Scores are negated, in what is asked and in what is answered, and text.
-- KEYS    1 meta   2 profiles
-- ARGV    1 prefix of board keys   2 JSON [ask, ...]   3 how many distinct scores of a board are
--         looked at, at most
-- answer  {0} when the generation is gone or has lost profiles, else {1, stamp, answers, walks}.
--         stamp: epoch, sequence, numbered_us, confirmed_us, floors, times mended.
--         An answer is that of the script, or the name of a board that has lost members, or
--         TOO_DEEP for a dense rank when too many distinct scores are higher.
--         walks: board, its distinct scores best first, ...; left out when there are none.

local COMPETITION, DENSE, ORDINAL = 1, 2, 3
local TOO_DEEP = 0

local meta, profiles, board_prefix = KEYS[1], KEYS[2], ARGV[1]

local stamp = redis.pcall(
  'HMGET', meta, 'epoch', 'sequence', 'numbered_us', 'confirmed_us', 'floors', 'mends', 'profiles'
)
if not stamp[1] or size('HLEN', profiles) ~= tonumber(stamp[7]) then
  return { 0 }
end
stamp[6], stamp[7] = stamp[6] or '0', nil

local totals = {}

-- The number of members of a board; false when it has lost some.
local function total_of(board)
  local total = totals[board]
  if total == nil then
    total = members(meta, board_prefix, board) or false
    totals[board] = total
  end
  return total
end

local walks, walked = {}, {}
local most_distinct = tonumber(ARGV[3])

-- Takes the walk through the distinct scores of a board as far as this score or the first one
-- below; false when it is too far. A jump for each distinct score that no ask before has seen,
-- O(log members).
local function walk_to(board, score)
  local walk = walked[board]
  if not walk then
    walk = {}
    walked[board] = walk
    walks[#walks + 1] = board
    walks[#walks + 1] = walk
  end
  local key, goal = board_prefix .. board, tonumber(score)
  local last = walk[#walk]
  while not (last and tonumber(last) >= goal) do
    if #walk >= most_distinct then
      return false
    end
    local low = last and '(' .. last or '-inf'
    last = redis.call('ZRANGEBYSCORE', key, low, '+inf', 'WITHSCORES', 'LIMIT', 0, 1)[2]
    if not last then
      return true
    end
    walk[#walk + 1] = last
  end
  return true
end

-- How many entries are listed up to (score, user), that one included, and how many have a higher
-- score. Within a tie a binary search.
local function place_after(key, score, user)
  local better = redis.call('ZCOUNT', key, '-inf', '(' .. score)
  local low, high = better, better + redis.call('ZCOUNT', key, score, score)
  while low < high do
    local middle = math.floor((low + high) / 2)
    if precedes(user, redis.call('ZRANGE', key, middle, middle)[1]) then
      high = middle
    else
      low = middle + 1
    end
  end
  return low, better
end

-- Where a user stands: {total, before, lower, next higher score, score, profile}, or {total} for
-- one who is not on the board. `before` counts the entries with a higher score; for ordinal ranks
-- those that are listed before, for dense ones there is a walk. With `score` the user is in
-- another part: where that score would stand, without the last two. O(log members).
local function standing(board, mode, user, score)
  local total = total_of(board)
  if not total then
    return board
  end
  local key, own = board_prefix .. board, not score
  if own then
    score = redis.call('ZSCORE', key, user)
    if not score then
      return { total }
    end
  end
  local before = redis.call('ZCOUNT', key, '-inf', '(' .. score)
  local lower = redis.call('ZCOUNT', key, '(' .. score, '+inf')
  local following = before > 0
    and redis.call('ZRANGE', key, before - 1, before - 1, 'WITHSCORES')[2]
  if mode == ORDINAL then
    before = own and redis.call('ZRANK', key, user) or place_after(key, score, user)
  elseif mode == DENSE and not walk_to(board, score) then
    return TOO_DEEP
  end
  if not own then
    return { total, before, lower, following }
  end
  return { total, before, lower, following, score, redis.call('HGET', profiles, user) }
end

-- The scores of users on other boards, a list for each of those; at least one user.
local function scores_on(boards, users)
  local scores = {}
  for i, board in ipairs(boards) do
    scores[i] = redis.call('ZMSCORE', board_prefix .. board, unpack(users))
  end
  return scores
end

-- Entries from index `first` on: {user, score, ...}, their profiles, their scores on `also`.
local function lines(key, first, count, also)
  local found = redis.call('ZRANGE', key, first, first + count - 1, 'WITHSCORES')
  local users = {}
  for i = 1, #found, 2 do
    users[#users + 1] = found[i]
  end
  if #users == 0 then
    return found, {}, {}
  end
  return found, redis.call('HMGET', profiles, unpack(users)), scores_on(also, users)
end

-- The script's answer; `answer` is called with the members of each ask.
local function answer_all(answer)
  local answers = {}
  for i, ask in ipairs(cjson.decode(ARGV[2])) do
    answers[i] = answer(unpack(ask))
  end
  if #walks == 0 then
    return { 1, stamp, answers }
  end
  return { 1, stamp, answers, walks }
end
