-- What is kept of some of the hidden users who have scores, on given boards; to be called with
-- the cursor of the answer before until that is "0".
-- KEYS, ARGV 1 and 2, answer: see part.lua
-- ARGV    3 cursor, "0" at first   4 about how many fields of meta to look at   5 and on: boards
-- answer  and cursor, {{user, 1 if there are as many scores as meta counts else 0, {board's
--         number from 1, score, ...}}, ...}
-- cost    O(fields + users among them x boards).

local boards = { unpack(ARGV, 5) }
local scan = redis.call('HSCAN', meta, ARGV[3], 'MATCH', 'h:*', 'COUNT', ARGV[4])
local found = {}
for i = 1, #scan[2], 2 do
  local user, expected = scan[2][i]:sub(3), tonumber(scan[2][i + 1])
  local key = hidden_prefix .. user
  local count = size('HLEN', key)
  local scores = {}
  if count > 0 then
    for number, score in ipairs(redis.call('HMGET', key, unpack(boards))) do
      if score and keeps(floors_of(stored[3]), boards[number]) then
        scores[#scores + 1] = number
        scores[#scores + 1] = score
      end
    end
  end
  found[#found + 1] = { user, count == expected and 1 or 0, scores }
end
return answer(scan[1], found)
