-- What the scripts share that read a part of the boards to compare it with PostgreSQL; put
-- between the prelude and each of them.
-- KEYS    1 meta   2 profiles
-- ARGV    1 prefix of board keys   2 prefix of the keys of hidden users' scores
--         3 and on: each script's own
-- answer  {'gone'}, {'broken', 'profiles'}, or {'read', epoch, sequence, floors, built_us, then
--         each script's own}

local meta, profiles = KEYS[1], KEYS[2]
local board_prefix, hidden_prefix = ARGV[1], ARGV[2]

local stored = redis.call('HMGET', meta, 'epoch', 'sequence', 'floors', 'built_us', 'profiles')
if not stored[1] then
  return { 'gone' }
end
if size('HLEN', profiles) ~= tonumber(stored[5]) then
  return { 'broken', 'profiles' }
end

local function answer(...)
  return { 'read', stored[1], stored[2], stored[3], stored[4], ... }
end

-- Whether a board is kept, and has as many members as meta counts.
local function board_state(board)
  if not keeps(floors_of(stored[3]), board) then
    return 'dropped'
  end
  return members(meta, board_prefix, board) and 'counted' or 'miscounted'
end
