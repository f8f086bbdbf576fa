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
