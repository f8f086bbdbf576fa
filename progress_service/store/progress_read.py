"""What a user has done: attempts and ledger."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

_USER_EXISTS = text("SELECT EXISTS (SELECT FROM users WHERE user_id = :user_id)")

# Without those of erased users, whose pseudonyms begin with '~'. Index: attempts_user,
# attempts_level or attempts_course, read backwards.
_ATTEMPTS = """
    SELECT attempt_id, user_id, level_id, correct_answers, total_questions, marks,
           time_spent_ms, occurred_time, create_time, request_id, voided, reason
    FROM attempts WHERE attempt_id < :before AND user_id < '~' {filters}
    ORDER BY attempt_id DESC LIMIT :limit
"""
_ENTRIES = text(
    """SELECT * FROM xp_entries WHERE user_id = :user_id AND entry_id < :before
       ORDER BY entry_id DESC LIMIT :limit"""
)
_NEWEST = 2**63 - 1


@dataclass(frozen=True, slots=True)
class AttemptFilter:
    """Which attempts; at least one of the three is set."""

    user_id: str = ""
    course_id: str = ""
    level_id: str = ""


async def user_exists(connection: AsyncConnection, user_id: str) -> bool:
    """Whether there is such a user."""
    return bool((await connection.execute(_USER_EXISTS, {"user_id": user_id})).scalar_one())


async def load_attempts(
    connection: AsyncConnection, wanted: AttemptFilter, before: int | None, limit: int
) -> Sequence[Any]:
    """Attempts with ids below `before`, newest first."""
    params: dict[str, Any] = {"before": before or _NEWEST, "limit": limit}
    filters = ""
    for column in ("user_id", "course_id", "level_id"):
        value = getattr(wanted, column)
        if value:
            filters += f" AND {column} = :{column}"
            params[column] = value
    return (await connection.execute(text(_ATTEMPTS.format(filters=filters)), params)).all()


async def load_entries(
    connection: AsyncConnection, user_id: str, before: int | None, limit: int
) -> Sequence[Any]:
    """The user's ledger entries with ids below `before`, newest first."""
    params = {"user_id": user_id, "before": before or _NEWEST, "limit": limit}
    return (await connection.execute(_ENTRIES, params)).all()
