-- Where single users stand, for all who ask at once.
-- KEYS, ARGV, answer: see read.lua
-- ask     board, mode, user, and the score of one who is in another part
-- answer  `standing` (read.lua)
-- cost    O(log members) per ask; about 6 commands.

return answer_all(standing)
