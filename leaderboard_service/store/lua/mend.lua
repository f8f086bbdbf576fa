-- Sets standings that were found wrong, each on the board or, of a hidden user, beside it; the
-- position stays. Everything is as of the position and floors expected, or nothing is changed.
-- KEYS, ARGV 1 to 5, answer: see step.lua; ARGV 6 and 7 are the same as 3 and 4, 8 and 9 are 0
-- ARGV    10 JSON [[board, user, score (0: none), "s" if the user is shown, "h" if hidden, "" if
--            that is as the profile says], ...]
-- answer  {'applied', standings that were changed}; {'broken', what} also for a user who has a
--         score and no profile, or whose profile is wrong about being hidden
-- cost    O(standings x log members), about eight commands each.

local mends = cjson.decode(ARGV[10])

local hides = {}
for i, mend in ipairs(mends) do
  local board, user, score, shown = unpack(mend)
  local profile = redis.call('HGET', profiles, user)
  if score > 0 and not profile then
    broken = broken or ('profile of ' .. user)
  elseif score > 0 and shown ~= '' and profile:sub(1, 1) ~= shown then
    broken = broken or ('visibility of ' .. user)
  elseif score < 0 or score > MAX_SCORE or score % 1 ~= 0 then
    broken = broken or ('score of ' .. user)
  end
  hides[i] = is_hidden(profile)
  touch_board(board)
  touch_hidden(user)
end
if broken then
  return { 'broken', broken }
end

local function set_on_board(board, user, score)
  local before = redis.call('ZSCORE', board_prefix .. board, user)
  if score > 0 then
    redis.call('ZADD', board_prefix .. board, int(-score), user)
  else
    redis.call('ZREM', board_prefix .. board, user)
  end
  return before ~= redis.call('ZSCORE', board_prefix .. board, user)
end

local function set_beside(board, user, score)
  local key = hidden_prefix .. user
  local before = redis.call('HGET', key, board)
  if score > 0 then
    redis.call('HSET', key, board, int(score))
  else
    redis.call('HDEL', key, board)
  end
  return before ~= redis.call('HGET', key, board)
end

local changed = 0
for i, mend in ipairs(mends) do
  local board, user, score = unpack(mend)
  if keeps(floors, board) then
    local on_board = set_on_board(board, user, hides[i] and 0 or score)
    local beside = set_beside(board, user, hides[i] and score or 0)
    if on_board or beside then
      changed = changed + 1
    end
  end
end
if changed > 0 then
  -- Whoever keeps what was read at this position reads it again.
  redis.call('HINCRBY', meta, 'mends', 1)
end
recount()
return { 'applied', changed }
