-- Keeps a lock, if it is still the caller's.
-- KEYS    1 lock
-- ARGV    1 value that the caller set   2 milliseconds from now on
-- answer  1 when it is kept, else 0
-- cost    O(1).

if redis.call('GET', KEYS[1]) == ARGV[1] then
  return redis.call('PEXPIRE', KEYS[1], ARGV[2])
end
return 0
