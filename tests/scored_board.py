"""Boards of given scores, without submitting each."""

from itertools import count

from shared.gen.laurel.types.v1 import types_pb2
from tests.progress import Progress

_boards = count(1)


async def put_scores(progress: Progress, scores: dict[str, int]) -> types_pb2.Board:
    """A board of its own with these scores, folded."""
    board = types_pb2.Board(metric=f"m{next(_boards)}")
    async with progress.sql() as sql:
        await sql.execute(
            """INSERT INTO unnumbered_changes (kind, user_id, entry_id, metric, amount, source,
                                               course_id, occurred_time, occurred_date, windows)
               SELECT 1, user_id, nextval('entry_ids'), $1, amount, 'test', '', now(),
                      '2026-11-20', 2
               FROM unnest($2::text[], $3::bigint[]) t (user_id, amount)""",
            board.metric,
            [*scores],
            [*scores.values()],
        )
    progress.app.sequencer.wake()
    await progress.settled()
    return board
