"""The one statement that records: attempts, progress, entries, totals and their changes.

A group of commands of different users becomes one `Batch`, written by one statement in the
transaction that holds the rows of those users. Uniqueness for ever is a primary key:
request_keys, level_rewards, award_references.
"""

from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from typing import Any, NamedTuple

import orjson
from sqlalchemy import TextClause, text
from sqlalchemy.ext.asyncio import AsyncConnection

from progress_service.domain.ledger import Credit, Moment
from progress_service.domain.request import RequestKind
from progress_service.domain.submission import CourseState, LevelState
from progress_service.store.admin_actions import INSERT, AdminAction, params_of
from progress_service.store.rows import RowSet
from progress_service.store.velocity import PUT, VELOCITY

XP_DELTA = 1
PROFILE_CHANGE = 2
USER_ERASURE = 3
WINDOW_RESET = 4
REDACTION = 5
STANDING_CORRECTION = 6

_ATTEMPTS = RowSet(
    "attempts",
    {
        "attempt_id": "bigint",
        "user_id": "id",
        "course_id": "id",
        "level_id": "id",
        "request_id": "text",
        "correct_answers": "integer",
        "total_questions": "integer",
        "marks": "bigint",
        "time_spent_ms": "bigint",
        "without_xp": "boolean",
        "passed": "boolean",
        "under_review": "boolean",
        "reason": "text",
        "occurred_time": "timestamptz",
    },
)
_REQUEST_KEYS = RowSet(
    "request_keys",
    {
        "user_id": "id",
        "request_id": "text",
        "kind": "smallint",
        "fingerprint": "bytea",
        "answer": "text",
    },
)
_LEVEL_PROGRESS = RowSet(
    "level_progress",
    {
        "user_id": "id",
        "course_id": "id",
        "level_id": "id",
        "best_marks": "bigint",
        "attempts": "integer",
        "time_spent_ms": "bigint",
        "complete_time": "timestamptz",
        "xp_earned": "bigint",
        "best_ratio": "double precision",
    },
)
_COURSE_PROGRESS = RowSet(
    "course_progress",
    {
        "user_id": "id",
        "course_id": "id",
        "course_version": "bigint",
        "levels_completed": "integer",
        "marks": "bigint",
        "last_attempt_time": "timestamptz",
    },
)
_LEVEL_REWARDS = RowSet(
    "level_rewards", {"user_id": "id", "level_id": "id", "attempt_id": "bigint"}
)
_REFERENCES = RowSet(
    "award_references",
    {"user_id": "id", "metric": "id", "source": "id", "reference": "text", "entry_id": "bigint"},
)
_ENTRIES = RowSet(
    "xp_entries",
    {
        "entry_id": "bigint",
        "user_id": "id",
        "metric": "id",
        "amount": "bigint",
        "total_after": "bigint",
        "source": "id",
        "reference": "text",
        "course_id": "id",
        "level_id": "id",
        "attempt_id": "bigint",
        "occurred_time": "timestamptz",
        "occurred_date": "date",
        "windows": "smallint",
        "revokes_entry_id": "bigint",
        "of_entry_id": "bigint",
        "reason": "text",
        "actor": "text",
    },
)
_ACTIVE = RowSet("active", {"user_id": "id", "day": "date"})

# Cost: one index insertion per row and index; a submission writes about 12 rows.
_WRITE = f"""
    WITH entries AS MATERIALIZED (
        SELECT {_ENTRIES.names}, ordinal FROM {_ENTRIES.source}
    ), new_attempts AS (
        INSERT INTO attempts ({_ATTEMPTS.names}) SELECT {_ATTEMPTS.names} FROM {_ATTEMPTS.source}
    ), new_keys AS (
        INSERT INTO request_keys ({_REQUEST_KEYS.names})
        SELECT user_id, request_id, kind, fingerprint, answer::jsonb FROM {_REQUEST_KEYS.source}
    ), new_progress AS (
        INSERT INTO level_progress ({_LEVEL_PROGRESS.names})
        SELECT {_LEVEL_PROGRESS.names} FROM {_LEVEL_PROGRESS.source}
        ON CONFLICT (user_id, course_id, level_id) DO UPDATE SET
            best_marks = EXCLUDED.best_marks, attempts = EXCLUDED.attempts,
            time_spent_ms = EXCLUDED.time_spent_ms, complete_time = EXCLUDED.complete_time,
            xp_earned = EXCLUDED.xp_earned, best_ratio = EXCLUDED.best_ratio
    ), new_course_progress AS (
        INSERT INTO course_progress ({_COURSE_PROGRESS.names})
        SELECT {_COURSE_PROGRESS.names} FROM {_COURSE_PROGRESS.source}
        ON CONFLICT (user_id, course_id) DO UPDATE SET
            course_version = EXCLUDED.course_version,
            levels_completed = EXCLUDED.levels_completed, marks = EXCLUDED.marks,
            last_attempt_time = greatest(course_progress.last_attempt_time,
                                         EXCLUDED.last_attempt_time)
    ), new_rewards AS (
        INSERT INTO level_rewards ({_LEVEL_REWARDS.names})
        SELECT {_LEVEL_REWARDS.names} FROM {_LEVEL_REWARDS.source}
    ), new_references AS (
        INSERT INTO award_references ({_REFERENCES.names})
        SELECT {_REFERENCES.names} FROM {_REFERENCES.source}
    ), new_entries AS (
        INSERT INTO xp_entries ({_ENTRIES.names}) SELECT {_ENTRIES.names} FROM entries
    ), new_totals AS (
        INSERT INTO user_totals (user_id, metric, total)
        SELECT DISTINCT ON (user_id, metric) user_id, metric, total_after
        FROM entries ORDER BY user_id, metric, ordinal DESC
        ON CONFLICT (user_id, metric) DO UPDATE SET total = EXCLUDED.total
    ), new_days AS (
        UPDATE users SET active_days = active_days + datemultirange(daterange(day, day, '[]'))
        FROM {_ACTIVE.source} WHERE users.user_id = active_rows.user_id
    ){{more}}
    INSERT INTO unnumbered_changes (kind, user_id, entry_id, metric, amount, source, course_id,
                                    occurred_time, occurred_date, windows, of_entry_id)
    SELECT {XP_DELTA}, user_id, entry_id, metric, amount, source, course_id,
           occurred_time, occurred_date, windows, of_entry_id
    FROM entries ORDER BY ordinal
"""


@cache
def _write(*, actions: bool, velocity: bool) -> TextClause:
    more = f", new_actions AS ({INSERT})" if actions else ""
    more += f", new_velocity AS ({PUT})" if velocity else ""
    return text(_WRITE.format(more=more))


class EntryIds(NamedTuple):
    """What a written entry belongs to, beside its credit.

    `of_entry_id`: it counts on no board that was reset since that entry; None: on all.
    """

    entry_id: int
    windows: int
    attempt_id: int | None = None
    revokes_entry_id: int | None = None
    of_entry_id: int | None = None
    reason: str = ""
    actor: str = ""


@dataclass(slots=True)
class Batch:
    """Rows to write together; at most one command of each user."""

    attempts: list[tuple[Any, ...]] = field(default_factory=list)
    keys: list[tuple[Any, ...]] = field(default_factory=list)
    level_progress: list[tuple[Any, ...]] = field(default_factory=list)
    course_progress: list[tuple[Any, ...]] = field(default_factory=list)
    level_rewards: list[tuple[Any, ...]] = field(default_factory=list)
    references: list[tuple[Any, ...]] = field(default_factory=list)
    entries: list[tuple[Any, ...]] = field(default_factory=list)
    active_days: list[tuple[Any, ...]] = field(default_factory=list)
    actions: list[AdminAction] = field(default_factory=list)
    velocity: list[tuple[Any, ...]] = field(default_factory=list)

    def add_key(
        self, user_id: str, request_id: str, kind: RequestKind, print_: bytes, answer: object
    ) -> None:
        """The request's contents and its answer, for replays."""
        encoded = orjson.dumps(answer).decode()
        self.keys.append((user_id, request_id, int(kind), print_, encoded))

    def add_level(self, user_id: str, course_id: str, level_id: str, state: LevelState) -> None:
        """The learner's progress at a level, as it is from now on."""
        self.level_progress.append(
            (
                user_id,
                course_id,
                level_id,
                state.best_marks,
                state.attempts,
                state.time_spent_ms,
                state.complete_time,
                state.xp_earned,
                state.best_ratio,
            )
        )

    def add_course(
        self, user_id: str, course_id: str, version: int, state: CourseState, when: datetime
    ) -> None:
        """The learner's sums over a course, judged against `version`."""
        self.course_progress.append(
            (user_id, course_id, version, state.levels_completed, state.marks, when)
        )

    def add_entry(self, user_id: str, credit: Credit, moment: Moment, ids: EntryIds) -> None:
        """A ledger entry; the total and the unnumbered change follow from it."""
        self.entries.append(
            (
                ids.entry_id,
                user_id,
                credit.metric,
                credit.amount,
                credit.total_after,
                credit.source,
                credit.reference,
                credit.course_id,
                credit.level_id,
                ids.attempt_id,
                moment.time,
                moment.day,
                ids.windows,
                ids.revokes_entry_id,
                ids.of_entry_id,
                ids.reason,
                ids.actor,
            )
        )

    async def write(self, connection: AsyncConnection) -> None:
        """Writes every row; the caller holds the rows of all users in it."""
        if not (self.keys or self.entries or self.level_progress):
            return
        params: dict[str, Any] = {}
        for rows, shape in (
            (self.attempts, _ATTEMPTS),
            (self.keys, _REQUEST_KEYS),
            (self.level_progress, _LEVEL_PROGRESS),
            (self.course_progress, _COURSE_PROGRESS),
            (self.level_rewards, _LEVEL_REWARDS),
            (self.references, _REFERENCES),
            (self.entries, _ENTRIES),
            (self.active_days, _ACTIVE),
        ):
            params |= shape.params(rows)
        if self.actions:
            params |= params_of(self.actions)
        if self.velocity:
            params |= VELOCITY.params(self.velocity)
        statement = _write(actions=bool(self.actions), velocity=bool(self.velocity))
        await connection.execute(statement, params)
