-- Applies a batch of changes: scores, profiles, counts and the position.
-- KEYS, ARGV 1 to 9, answer: see step.lua
-- ARGV    10 JSON {"users": [user, ...], "boards": [[board, [index of user, amount, ...]], ...],
--            "profiles": [[user, packed profile], ...]}; a packed profile begins with "h" for a
--            hidden user and with "s" for one who is shown
-- cost    O(scores x log members), two commands per board; O(boards) per user who is hidden.

local batch = cjson.decode(ARGV[10])

-- Who is hidden now, of the users in this batch.
local hidden = {}
local function look_up(users)
  for start = 1, #users, CHUNK do
    local chunk = { unpack(users, start, math.min(start + CHUNK - 1, #users)) }
    for i, packed in ipairs(redis.call('HMGET', profiles, unpack(chunk))) do
      hidden[chunk[i]] = is_hidden(packed)
    end
  end
end
look_up(batch.users)
local changed = {}
for i, change in ipairs(batch.profiles) do
  changed[i] = change[1]
end
look_up(changed)

-- Plan: new scores per board, and amounts for those who are hidden.
local writes, removals, kept_amounts = {}, {}, {}

local function plan_chunk(board, users, amounts)
  local add, remove = writes[board], removals[board]
  for i, score in ipairs(redis.call('ZMSCORE', board_prefix .. board, unpack(users))) do
    local new = amounts[i] - tonumber(score or '0')
    if new > MAX_SCORE then
      broken = broken or ('score of ' .. users[i])
    elseif new > 0 then
      add[#add + 1] = int(-new)
      add[#add + 1] = users[i]
    else
      remove[#remove + 1] = users[i]
    end
  end
end

local function plan(board, pairs_)
  touch_board(board)
  if broken then
    return
  end
  writes[board], removals[board] = {}, {}
  local users, amounts = {}, {}
  for i = 1, #pairs_, 2 do
    local user, amount = batch.users[pairs_[i]], pairs_[i + 1]
    if math.abs(amount) > MAX_SCORE or amount % 1 ~= 0 then
      broken = broken or ('amount for ' .. user)
    elseif hidden[user] then
      kept_amounts[#kept_amounts + 1] = { user, board, amount }
    else
      users[#users + 1], amounts[#amounts + 1] = user, amount
    end
  end
  for start = 1, #users, CHUNK do
    local stop = math.min(start + CHUNK - 1, #users)
    plan_chunk(board, { unpack(users, start, stop) }, { unpack(amounts, start, stop) })
  end
end

for _, entry in ipairs(batch.boards) do
  -- The follower goes by the lowest floors of all parts.
  if keeps(floors, entry[1]) then
    plan(entry[1], entry[2])
  end
end
for _, kept in ipairs(kept_amounts) do
  touch_hidden(kept[1])
end

-- Plan: who is to be hidden or shown.
local to_hide, to_show = {}, {}
for _, change in ipairs(batch.profiles) do
  local user, hide = change[1], change[2]:sub(1, 1) == 'h'
  if hide and not hidden[user] then
    to_hide[#to_hide + 1] = user
    touch_hidden(user)
  elseif not hide and hidden[user] then
    to_show[#to_show + 1] = user
    touch_hidden(user)
    for _, board in ipairs(broken and {} or redis.call('HKEYS', hidden_prefix .. user)) do
      touch_board(board)
    end
  end
end
if #to_hide > 0 then
  for _, board in ipairs(counted('n:')) do
    touch_board(board)
  end
end
if broken then
  return { 'broken', broken }
end

-- Write: scores.
local function in_chunks(command, key, values)
  for start = 1, #values, CHUNK do
    redis.call(command, key, unpack(values, start, math.min(start + CHUNK - 1, #values)))
  end
end
for board, add in pairs(writes) do
  in_chunks('ZADD', board_prefix .. board, add)
  in_chunks('ZREM', board_prefix .. board, removals[board])
end
for _, kept in ipairs(kept_amounts) do
  local user, board = kept[1], kept[2]
  if redis.call('HINCRBY', hidden_prefix .. user, board, int(kept[3])) <= 0 then
    redis.call('HDEL', hidden_prefix .. user, board)
  end
end

-- Write: profiles, and whoever leaves the boards or comes back.
for _, change in ipairs(batch.profiles) do
  redis.call('HSET', profiles, change[1], change[2])
end
for _, user in ipairs(to_hide) do
  for board in pairs(touched) do
    local score = redis.call('ZSCORE', board_prefix .. board, user)
    if score then
      redis.call('ZREM', board_prefix .. board, user)
      redis.call('HSET', hidden_prefix .. user, board, int(-tonumber(score)))
    end
  end
end
for _, user in ipairs(to_show) do
  local scores = redis.call('HGETALL', hidden_prefix .. user)
  for i = 1, #scores, 2 do
    if keeps(floors, scores[i]) then
      redis.call('ZADD', board_prefix .. scores[i], int(-tonumber(scores[i + 1])), user)
    end
  end
  redis.call('DEL', hidden_prefix .. user)
end

return advance()
