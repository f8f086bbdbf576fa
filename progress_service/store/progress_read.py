"""What a user has done: course progress, attempts, ledger."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

_LEVELS = text(
    """SELECT level_id, best_marks, attempts, time_spent_ms, complete_time, xp_earned
       FROM level_progress WHERE user_id = :user_id AND course_id = :course_id"""
)
# Index: course_progress_course, then each learner's primary-key range.
_COMPLETED = text(
    """SELECT c.user_id,
              ARRAY(SELECT p.level_id FROM level_progress p
                    WHERE p.user_id = c.user_id AND p.course_id = c.course_id
                      AND p.complete_time IS NOT NULL) AS completed
       FROM course_progress c
       WHERE c.course_id = :course_id AND c.user_id > :after
       ORDER BY c.user_id LIMIT :limit"""
)
_LEARNERS = text("SELECT count(*) FROM course_progress WHERE course_id = :course_id")
_USER_EXISTS = text("SELECT EXISTS (SELECT FROM users WHERE user_id = :user_id)")

# Index: attempts_user, attempts_level or attempts_course, read backwards.
_ATTEMPTS = """
    SELECT attempt_id, user_id, level_id, correct_answers, total_questions, marks,
           time_spent_ms, occurred_time, create_time, request_id
    FROM attempts WHERE attempt_id < :before {filters} ORDER BY attempt_id DESC LIMIT :limit
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


async def load_levels(connection: AsyncConnection, user_id: str, course_id: str) -> dict[str, Any]:
    """The user's stored progress at each level of the course ever tried, by level_id."""
    rows = await connection.execute(_LEVELS, {"user_id": user_id, "course_id": course_id})
    return {row.level_id: row for row in rows}


async def count_learners(connection: AsyncConnection, course_id: str) -> int:
    """How many users have tried a level of the course."""
    return int((await connection.execute(_LEARNERS, {"course_id": course_id})).scalar_one())


async def load_completed(
    connection: AsyncConnection, course_id: str, after: str, limit: int
) -> list[tuple[str, frozenset[str]]]:
    """Users after `after` who have tried a level of the course, each with the completed ones."""
    params = {"course_id": course_id, "after": after, "limit": limit}
    rows = await connection.execute(_COMPLETED, params)
    return [(row.user_id, frozenset(row.completed)) for row in rows]


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
