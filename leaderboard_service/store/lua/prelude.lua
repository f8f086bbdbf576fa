-- What the scripts share; put in front of each of them. All keys that a script touches begin
-- with one hash tag, so that a script is one slot: those whose names depend on data are the
-- prefix given in ARGV and a name.

local MAX_SCORE = 9007199254740991 -- 2^53 - 1: up to here a double holds every integer
local CHUNK = 500 -- members per command: Lua unpacks at most some thousands

-- Integers as Redis reads them: tostring would write large ones with an exponent.
local function int(number)
  return string.format('%.0f', number)
end

-- Bytewise order of two strings: Lua's own < follows the locale of the server.
local function precedes(a, b)
  for i = 1, math.min(#a, #b) do
    local x, y = a:byte(i), b:byte(i)
    if x ~= y then
      return x < y
    end
  end
  return #a < #b
end

-- The number of members of a key by ZCARD or HLEN; -1 when it is of another type.
local function size(command, key)
  local count = redis.pcall(command, key)
  return type(count) == 'number' and count or -1
end

-- Members of a board; nil when they are not as many as meta says (an evicted or foreign key).
local function members(meta, prefix, board)
  local expected = tonumber(redis.call('HGET', meta, 'n:' .. board) or '0')
  if size('ZCARD', prefix .. board) == expected then
    return expected
  end
  return nil
end

-- {epoch, sequence, numbered_us, confirmed_us, floors} of the generation; nil when it is gone
-- or has lost profiles.
local function stamp_of(meta, profiles)
  local stamp = redis.call(
    'HMGET', meta, 'epoch', 'sequence', 'numbered_us', 'confirmed_us', 'floors', 'profiles'
  )
  if not stamp[1] or size('HLEN', profiles) ~= tonumber(stamp[6]) then
    return nil
  end
  stamp[6] = nil
  return stamp
end

-- {rank, score, users below, next higher score, profile} of one user, scores negated and as
-- text; false when the user is not on the board. O(log members).
local function standing(key, profiles, user, total)
  local score = redis.call('ZSCORE', key, user)
  if not score then
    return false
  end
  local better = redis.call('ZCOUNT', key, '-inf', '(' .. score)
  local following = score
  if better > 0 then
    following = redis.call('ZRANGE', key, better - 1, better - 1, 'WITHSCORES')[2]
  end
  local lower = redis.call('ZCOUNT', key, '(' .. score, '+inf')
  return { better + 1, score, lower, following, redis.call('HGET', profiles, user) }
end

-- Entries from index `first` on, as four values: the first one's rank and its index,
-- {user, negated score, ...}, profiles.
local function slice(key, profiles, first, count)
  local found = redis.call('ZRANGE', key, first, first + count - 1, 'WITHSCORES')
  if #found == 0 then
    return 0, first, found, {}
  end
  local users = {}
  for i = 1, #found, 2 do
    users[#users + 1] = found[i]
  end
  local rank = redis.call('ZCOUNT', key, '-inf', '(' .. found[2]) + 1
  return rank, first, found, redis.call('HMGET', profiles, unpack(users))
end

-- The floors of the windows, from their encoded form.
local function floors_of(encoded)
  local year, month, week, day = encoded:match('^(%S+) (%S+) (%S+) (%S+)$')
  return { year = year, month = month, week = week, day = day }
end

-- Whether the board's period is one of those that are kept.
local function keeps(floors, board)
  local window, period = board:match('^[^/]*/[^/]*/([^/]*)/(.*)$')
  local floor = floors[window]
  return not floor or not precedes(period, floor)
end
