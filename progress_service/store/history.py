"""The ordered history, read again."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from progress_service.store.numbering import COLUMNS
from shared.errors import OutOfRange

# Boards that a change excludes are looked up for those few that have any.
_READ = text(
    f"""SELECT sequence, numbered_time, {COLUMNS},
               CASE WHEN excluded_boards IS NOT NULL THEN (
                   SELECT jsonb_agg(
                       jsonb_build_array(b.metric, b.course_id, b.board_window, b.period)
                       ORDER BY b.board_id)::text
                   FROM boards b WHERE b.board_id = ANY (excluded_boards)) END AS excluded_boards
        FROM changes WHERE sequence > :after ORDER BY sequence LIMIT :limit"""
)


async def read_changes(
    connection: AsyncConnection, after: int, head: int, limit: int
) -> Sequence[Any]:
    """The changes after a valid position, in order; empty when `after` is the head.

    `excluded_boards` is JSON: [[metric, course_id, window, period], …], or None.
    Raises OutOfRange (HISTORY_TRUNCATED) when the next change is no longer kept.
    """
    if after >= head:
        return ()
    rows = (await connection.execute(_READ, {"after": after, "limit": limit})).all()
    if not rows or rows[0].sequence != after + 1:
        raise OutOfRange(
            "HISTORY_TRUNCATED",
            "The history is not kept back to there: take a snapshot and resume from its position.",
            metadata={"sequence": str(after)},
        )
    return rows
