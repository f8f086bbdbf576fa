-- Boards, whole.

-- What standings_rank leaves out of a board: hidden users, and what only damage makes negative.
-- With both a board is read as two index ranges.
CREATE INDEX standings_unlisted ON standings (board_id) WHERE hidden OR score < 0;
