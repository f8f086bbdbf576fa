-- The ranks of many users on one board, for all who ask at once.
-- KEYS, ARGV, answer: see read.lua
-- ask     board, mode, users who are in this part, spots: {score, user, ...} of others
-- answer  {total, {user, score, before, ...}, profiles, {before, ...}}: of those users who are on
--         the board, then of the spots; `before` as in `standing` (read.lua), nothing for dense
-- cost    O((users + spots) x log members); one ZCOUNT per distinct score.

-- Counts the entries before a spot; false when a walk is too far.
local function counter(board, mode)
  local key, higher = board_prefix .. board, {}
  return function(score, user, own)
    if mode == DENSE then
      return walk_to(board, score) and 0
    end
    if mode == ORDINAL then
      return own and redis.call('ZRANK', key, user) or place_after(key, score, user)
    end
    if not higher[score] then
      higher[score] = redis.call('ZCOUNT', key, '-inf', '(' .. score)
    end
    return higher[score]
  end
end

local function ranks(board, mode, asked, spots)
  local total = total_of(board)
  if not total then
    return board
  end
  local before_of = counter(board, mode)
  local found, users, counts = {}, {}, {}
  local scores = #asked > 0 and scores_on({ board }, asked)[1] or {}
  for i, score in ipairs(scores) do
    if score then
      local before = before_of(score, asked[i], true)
      if not before then
        return TOO_DEEP
      end
      found[#found + 1], users[#users + 1] = asked[i], asked[i]
      found[#found + 1] = score
      found[#found + 1] = before
    end
  end
  for i = 1, #spots, 2 do
    local before = before_of(spots[i], spots[i + 1], false)
    if not before then
      return TOO_DEEP
    end
    counts[#counts + 1] = before
  end
  return {
    total, found, #users > 0 and redis.call('HMGET', profiles, unpack(users)) or {}, counts,
  }
end

return answer_all(ranks)
