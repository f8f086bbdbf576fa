-- Gives a lock back, if it is still the caller's.
-- KEYS    1 lock
-- ARGV    1 value that the caller set
-- answer  1 when it was given back, else 0
-- cost    O(1).

if redis.call('GET', KEYS[1]) == ARGV[1] then
  return redis.call('DEL', KEYS[1])
end
return 0
