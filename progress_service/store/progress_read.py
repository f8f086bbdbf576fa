"""What a user has done: attempts and ledger."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from progress_service.store.not_found import course_not_found, level_not_found, user_not_found

_USER_EXISTS = text("SELECT EXISTS (SELECT FROM users WHERE user_id = :user_id)")

ATTEMPT_COLUMNS = """attempt_id, user_id, level_id, correct_answers, total_questions, marks,
    time_spent_ms, occurred_time, create_time, request_id, under_review, voided, reason"""
# Without those of erased users, whose pseudonyms begin with '~'. Index: attempts_user,
# attempts_level or attempts_course, read backwards.
_ATTEMPTS = f"""
    SELECT {ATTEMPT_COLUMNS}
    FROM attempts WHERE attempt_id < :before AND user_id < '~' {{filters}}
    ORDER BY attempt_id DESC LIMIT :limit
"""
# Cost: two index look-ups an entry. Index: xp_entries_user, read backwards, and the unique one
# of revokes_entry_id.
_ENTRIES = text(
    """SELECT e.*, (SELECT c.entry_id FROM xp_entries c WHERE c.revokes_entry_id = e.entry_id)
                       AS revoked_by_entry_id
       FROM xp_entries e WHERE e.user_id = :user_id AND e.entry_id < :before
       ORDER BY e.entry_id DESC LIMIT :limit"""
)
# `levels` keeps what courses have dropped.
_KNOWN = text(
    """SELECT EXISTS (SELECT FROM users WHERE user_id = :user_id) AS user,
              EXISTS (SELECT FROM courses WHERE course_id = :course_id) AS course,
              EXISTS (SELECT FROM levels WHERE level_id = :level_id) AS level"""
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
    """Attempts with ids below `before`, newest first.

    Raises NotFound (USER_NOT_FOUND, COURSE_NOT_FOUND, LEVEL_NOT_FOUND).
    """
    await _check_known(connection, wanted)
    params: dict[str, Any] = {"before": before or _NEWEST, "limit": limit}
    filters = ""
    for column in ("user_id", "course_id", "level_id"):
        value = getattr(wanted, column)
        if value:
            filters += f" AND {column} = :{column}"
            params[column] = value
    return (await connection.execute(text(_ATTEMPTS.format(filters=filters)), params)).all()


async def _check_known(connection: AsyncConnection, wanted: AttemptFilter) -> None:
    known = (await connection.execute(_KNOWN, asdict(wanted))).one()
    for missing, error in (
        (wanted.user_id and not known.user, user_not_found(wanted.user_id)),
        (wanted.course_id and not known.course, course_not_found(wanted.course_id)),
        (wanted.level_id and not known.level, level_not_found(wanted.level_id)),
    ):
        if missing:
            raise error


async def load_entries(
    connection: AsyncConnection, user_id: str, before: int | None, limit: int
) -> Sequence[Any]:
    """The user's ledger entries with ids below `before`, newest first, each with
    `revoked_by_entry_id` or None.
    """
    params = {"user_id": user_id, "before": before or _NEWEST, "limit": limit}
    return (await connection.execute(_ENTRIES, params)).all()
