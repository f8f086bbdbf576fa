-- Deletes the scores of hidden users on boards of periods that the part keeps no more. A user who
-- has not as many scores as meta says is left alone: that is for readers and writers to notice.
-- KEYS    1 meta
-- ARGV    1 prefix of the keys of hidden users' scores   2 and on: users, at most 500
-- answer  {'pruned', scores deleted, {user who was left alone, ...}}, or {'gone'}
-- cost    O(users x their boards), four commands for each user.

local meta, prefix = KEYS[1], ARGV[1]

local encoded = redis.call('HGET', meta, 'floors')
if not encoded then
  return { 'gone' }
end
local floors = floors_of(encoded)
local kept = {} -- board -> whether it is: many users have scores on the same boards
local function is_kept(board)
  if kept[board] == nil then
    kept[board] = keeps(floors, board)
  end
  return kept[board]
end

local function delete(key, boards)
  for start = 1, #boards, CHUNK do
    redis.call('HDEL', key, unpack(boards, start, math.min(start + CHUNK - 1, #boards)))
  end
end

local deleted, left_alone = 0, {}
for number = 2, #ARGV do
  local user = ARGV[number]
  local key, field = prefix .. user, 'h:' .. user
  local expected = tonumber(redis.call('HGET', meta, field) or '0')
  if size('HLEN', key) ~= expected then
    left_alone[#left_alone + 1] = user
  else
    local old = {}
    for _, board in ipairs(redis.call('HKEYS', key)) do
      if not is_kept(board) then
        old[#old + 1] = board
      end
    end
    delete(key, old)
    deleted = deleted + #old
    if #old == expected then
      redis.call('HDEL', meta, field)
    elseif #old > 0 then
      redis.call('HSET', meta, field, expected - #old)
    end
  end
end
return { 'pruned', deleted, left_alone }
