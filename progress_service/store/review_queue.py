"""The queue of attempts under review: reading it, and whether there is room for one more."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from progress_service.store.progress_read import ATTEMPT_COLUMNS

# Index: attempts_under_review, or attempts_under_review_user. An erased user's are not in it.
_LIST = f"""SELECT {ATTEMPT_COLUMNS} FROM attempts
            WHERE under_review AND attempt_id > :after {{filters}}
            ORDER BY attempt_id LIMIT :limit"""
# Cost: at most :most rows of each user. Index: attempts_under_review_user.
FULL = text(
    """SELECT asked.user_id FROM unnest(CAST(:ids AS text[])) AS asked (user_id)
       WHERE (SELECT count(*) FROM (
                  SELECT FROM attempts a WHERE a.user_id = asked.user_id AND a.under_review
                  LIMIT :most) waiting) >= :most"""
)


def listing(filters: Mapping[str, str]) -> str:
    """The statement that reads a page; `filters` are values of columns, and its parameters."""
    return _LIST.format(filters="".join(f"AND {column} = :{column} " for column in filters))


async def load_page(
    connection: AsyncConnection, filters: Mapping[str, str], after: int | None, limit: int
) -> Sequence[Any]:
    """Attempts under review with ids above `after`, oldest first; of this user_id, course_id and
    level_id, where they are given and not empty.
    """
    given = {column: value for column, value in filters.items() if value}
    params = {**given, "after": after or 0, "limit": limit}
    return (await connection.execute(text(listing(given)), params)).all()


async def full(connection: AsyncConnection, user_ids: Sequence[str], most: int) -> set[str]:
    """Those users of whom so many attempts are under review; all of them are locked."""
    found = await connection.execute(FULL, {"ids": [*user_ids], "most": most})
    return {row.user_id for row in found}
