-- Pages of boards, for all who ask at once.
-- KEYS, ARGV, answer: see read.lua
-- ask     board, mode, size, score and user after whom it begins ("" for the top), version of
--         the page that the caller has ("" for none), a user to add who is in this part ("" for
--         none), other boards whose scores are wanted
-- answer  {total, `standing` (read.lua) of the added user, that user's other scores, entries
--         before the page, entries with a higher score than that after which it begins,
--         then the three of `lines` (read.lua)}, without the last five when the caller has the page
-- cost    O(log members + size x (1 + other boards)); within a tie a binary search.

local version = stamp[1] .. ':' .. stamp[2] .. ':' .. stamp[6]

local function page(board, mode, count, score, user, has, added, also)
  local total = total_of(board)
  if not total then
    return board
  end
  for _, other in ipairs(also) do
    if not total_of(other) then
      return other
    end
  end
  local entry, entry_also = {}, {}
  if added ~= '' then
    entry, entry_also = standing(board, mode, added), scores_on(also, { added })
    if entry == TOO_DEEP then
      return TOO_DEEP
    end
  end
  if has == version then
    return { total, entry, entry_also }
  end
  local key, first, better = board_prefix .. board, 0, 0
  if user ~= '' then
    first, better = place_after(key, score, user)
    if mode == DENSE and not walk_to(board, score) then
      return TOO_DEEP
    end
  end
  return { total, entry, entry_also, first, better, lines(key, first, count, also) }
end

return answer_all(page)
