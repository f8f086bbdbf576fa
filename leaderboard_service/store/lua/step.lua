-- What the scripts share that take the boards one step along the history; put between the
-- prelude and each of them. A step is all or nothing: everything is checked before the first
-- write, since a script that fails midway is not undone.
-- KEYS    1 meta   2 profiles
-- ARGV    1 prefix of board keys   2 prefix of the keys of hidden users' scores
--         3 epoch, 4 sequence and 5 floors (encoded) as expected
--         6 epoch and 7 sequence from now on   8 numbered_us   9 confirmed_us
--         10 and on: each script's own
-- answer  {'applied', fields of meta}, or with nothing changed: {'gone'}, {'moved', epoch, sequence},
--         {'floors', stored}, {'broken', what}

local meta, profiles = KEYS[1], KEYS[2]
local board_prefix, hidden_prefix = ARGV[1], ARGV[2]

local stored = redis.pcall('HMGET', meta, 'epoch', 'sequence', 'floors', 'profiles')
if not stored[1] then
  return { 'gone' }
end
if stored[1] ~= ARGV[3] or stored[2] ~= ARGV[4] then
  return { 'moved', stored[1], stored[2] }
end
if stored[3] ~= ARGV[5] then
  return { 'floors', stored[3] }
end
if size('HLEN', profiles) ~= tonumber(stored[4]) then
  return { 'broken', 'profiles' }
end
if not (tonumber(ARGV[7]) >= tonumber(ARGV[4]) and tonumber(ARGV[8]) and tonumber(ARGV[9])) then
  return { 'broken', 'arguments' }
end

local floors = floors_of(ARGV[5])
local touched = {} -- board -> true: those that may change, each with as many members as meta says
local touched_users = {} -- user -> true: the same of hidden users' scores
local broken = nil -- the first thing found that is not as meta says

-- To be called for a board before it is changed.
local function touch_board(board)
  if not touched[board] then
    touched[board] = true
    if not members(meta, board_prefix, board) then
      broken = broken or board
    end
  end
end

-- To be called for a user before the scores that are kept while hidden are changed.
local function touch_hidden(user)
  if not touched_users[user] then
    touched_users[user] = true
    local expected = tonumber(redis.call('HGET', meta, 'h:' .. user) or '0')
    if size('HLEN', hidden_prefix .. user) ~= expected then
      broken = broken or ('hidden scores of ' .. user)
    end
  end
end

-- What meta counts under a mark: the boards that have members ('n:'), the hidden users who have
-- scores ('h:'). O(fields of meta).
local function counted(mark)
  local found = {}
  for _, field in ipairs(redis.call('HKEYS', meta)) do
    if field:sub(1, #mark) == mark then
      found[#found + 1] = field:sub(#mark + 1)
    end
  end
  return found
end

local function is_hidden(packed)
  return packed and packed:sub(1, 1) == 'h'
end

local function note(field, count)
  if count > 0 then
    redis.call('HSET', meta, field, count)
  else
    redis.call('HDEL', meta, field)
  end
end

-- Notes the counts of what was touched.
local function recount()
  for board in pairs(touched) do
    note('n:' .. board, redis.call('ZCARD', board_prefix .. board))
  end
  for user in pairs(touched_users) do
    note('h:' .. user, redis.call('HLEN', hidden_prefix .. user))
  end
end

-- The last write of a step: the counts of what was touched, and the position. The answer.
local function advance()
  recount()
  redis.call(
    'HSET', meta, 'epoch', ARGV[6], 'sequence', ARGV[7], 'numbered_us', ARGV[8],
    'confirmed_us', ARGV[9], 'profiles', redis.call('HLEN', profiles)
  )
  return { 'applied', redis.call('HLEN', meta) }
end
