-- The ranks of many users on one board, for all who ask at once.
-- KEYS    1 meta   2 profiles
-- ARGV    1 prefix of board keys   2 JSON [[board, [user, ...]], ...], at most 500 users each
-- answer  {0} when the generation is gone, else {1, stamp, answers}: per ask
--         {total, {user, negated score, rank, ...}, profiles}, users not on the board left out;
--         false when the board has lost members.
-- cost    O(users x log members); one ZCOUNT per distinct score.

local stamp = stamp_of(KEYS[1], KEYS[2])
if not stamp then
  return { 0 }
end

local function ranks(board, asked)
  local total = members(KEYS[1], ARGV[1], board)
  if not total then
    return false
  end
  if #asked == 0 then
    return { total, {}, {} }
  end
  local key = ARGV[1] .. board
  local scores = redis.call('ZMSCORE', key, unpack(asked))
  local rank_of, found, users = {}, {}, {}
  for i, score in ipairs(scores) do
    if score then
      if not rank_of[score] then
        rank_of[score] = redis.call('ZCOUNT', key, '-inf', '(' .. score) + 1
      end
      found[#found + 1] = asked[i]
      found[#found + 1] = score
      found[#found + 1] = rank_of[score]
      users[#users + 1] = asked[i]
    end
  end
  if #users == 0 then
    return { total, found, {} }
  end
  return { total, found, redis.call('HMGET', KEYS[2], unpack(users)) }
end

local answers = {}
for i, ask in ipairs(cjson.decode(ARGV[2])) do
  answers[i] = ranks(ask[1], ask[2])
end
return { 1, stamp, answers }
