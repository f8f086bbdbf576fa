-- Raises the first kept periods and drops the boards of those before.
-- KEYS    1 meta
-- ARGV    1 prefix of board keys   2 floors as expected   3 floors from now on (encoded)
-- answer  {'raised', boards dropped}, {'gone'}, or {'floors', stored}
-- cost    O(boards).

local stored = redis.call('HGET', KEYS[1], 'floors')
if not stored then
  return { 'gone' }
end
if stored ~= ARGV[2] then
  return { 'floors', stored }
end
local floors = floors_of(ARGV[3])
local dropped = 0
for _, field in ipairs(redis.call('HKEYS', KEYS[1])) do
  local board = field:match('^n:(.*)$')
  if board and not keeps(floors, board) then
    redis.call('UNLINK', ARGV[1] .. board)
    redis.call('HDEL', KEYS[1], field)
    dropped = dropped + 1
  end
end
redis.call('HSET', KEYS[1], 'floors', ARGV[3])
return { 'raised', dropped }
