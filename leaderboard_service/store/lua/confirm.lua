-- Notes that the position was still the newest at a time, or goes by another tenure's name now.
-- KEYS    1 meta
-- ARGV    1 epoch and 2 sequence as expected   3 epoch from now on   4 confirmed_us
-- answer  {'applied'}, {'gone'}, or {'moved', epoch, sequence}; changes something in the first
--         case only.
-- cost    O(1).

local stored = redis.call('HMGET', KEYS[1], 'epoch', 'sequence')
if not stored[1] then
  return { 'gone' }
end
if stored[1] ~= ARGV[1] or stored[2] ~= ARGV[2] then
  return { 'moved', stored[1], stored[2] }
end
redis.call('HSET', KEYS[1], 'epoch', ARGV[3], 'confirmed_us', ARGV[4])
return { 'applied' }
