"""The ordered history, read again."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from progress_service.store.history_pruning import oldest_sequence
from progress_service.store.numbering import COLUMNS
from shared.errors import OutOfRange

# Boards that a change excludes are looked up for those few that have any. The numbers are dense, so
# the range ends where the limit does: before what is kept it meets no more dead rows than that.
_READ = text(
    f"""SELECT sequence, numbered_time, {COLUMNS},
               CASE WHEN excluded_boards IS NOT NULL THEN (
                   SELECT jsonb_agg(
                       jsonb_build_array(b.metric, b.course_id, b.board_window, b.period)
                       ORDER BY b.board_id)::text
                   FROM boards b WHERE b.board_id = ANY (excluded_boards)) END AS excluded_boards
        FROM changes WHERE sequence > :after AND sequence <= :last ORDER BY sequence"""
)


async def read_changes(
    connection: AsyncConnection, after: int, head: int, limit: int
) -> Sequence[Any]:
    """The changes after a valid position, in order; empty when `after` is the head.

    `excluded_boards` is JSON: [[metric, course_id, window, period], …], or None.
    Raises OutOfRange (HISTORY_TRUNCATED, with the oldest sequence that is kept) when the next
    change is not kept any more.
    """
    if after >= head:
        return ()
    params = {"after": after, "last": after + limit}
    rows = (await connection.execute(_READ, params)).all()
    if not rows or rows[0].sequence != after + 1:
        raise OutOfRange(
            "HISTORY_TRUNCATED",
            "The history is not kept back to there: take a snapshot and resume from its position.",
            metadata={
                "sequence": str(after),
                "oldest_sequence": str(await oldest_sequence(connection)),
            },
        )
    return rows
