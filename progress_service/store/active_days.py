"""Active days that are carried over from elsewhere."""

from collections.abc import Sequence
from datetime import date

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from progress_service.store.learner_read import lock_users
from progress_service.store.rows import RowSet
from shared.errors import NotFound

_DAYS = RowSet("days", {"user_id": "text", "day": "date"})
_ADD = text(
    f"""UPDATE users SET active_days = active_days + d.days
        FROM (SELECT user_id, range_agg(daterange(day, day, '[]')) AS days
              FROM {_DAYS.source} GROUP BY user_id) d
        WHERE users.user_id = d.user_id"""
)


async def add(connection: AsyncConnection, days: Sequence[tuple[str, date]]) -> None:
    """Marks days as active; raises NotFound (USER_NOT_FOUND) before anything is written."""
    known = await lock_users(connection, [user_id for user_id, _ in days])
    for user_id, _ in days:
        if user_id not in known:
            raise NotFound("USER_NOT_FOUND", "No such user.", metadata={"user_id": user_id})
    await connection.execute(_ADD, _DAYS.params(days))
