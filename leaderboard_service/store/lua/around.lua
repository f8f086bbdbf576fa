-- The entries around single users, for all who ask at once.
-- KEYS, ARGV, answer: see read.lua
-- ask     board, mode, user, count, and the score of one who is in another part
-- answer  {total, entries before the user's place, entries before the first line, entries with a
--         higher score than the first line (or than the user, when no line is before the user),
--         the user's score, then the first two of `lines` (read.lua)}; {total} for one who is not
--         on the board
-- cost    O(log members + count); within a tie a binary search when the user is in another part.
--
-- Whoever is alone lists what is wanted: `count` entries with the user in the middle, or as near
-- as the ends allow. Others add entries before and after, so that fewer of ours may be wanted, but
-- never more: at most as many before as our own entries after leave free, and the reverse.

local function around(board, mode, user, count, score)
  local total = total_of(board)
  if not total then
    return board
  end
  local key, place = board_prefix .. board, nil
  if score then
    place = place_after(key, score, user)
  else
    score = redis.call('ZSCORE', key, user)
    if not score then
      return { total }
    end
    place = redis.call('ZRANK', key, user)
  end
  local half, rest = math.floor(count / 2), total - place
  local up = math.min(place, math.max(half, count - rest))
  local down = math.min(rest, count - math.min(place, half))
  local found, described = lines(key, place - up, up + down, {})
  local first_score, better = up > 0 and found[2] or score, 0
  if mode == COMPETITION then
    better = redis.call('ZCOUNT', key, '-inf', '(' .. first_score)
  elseif mode == DENSE and not walk_to(board, first_score) then
    return TOO_DEEP
  end
  return { total, place, place - up, better, score, found, described }
end

return answer_all(around)
