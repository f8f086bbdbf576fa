"""Completions that lack their ledger entry, and paying them as the attempt would have been."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import structlog
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from progress_service.domain.course import Course, Level
from progress_service.domain.ledger import XP, Credit, Moment
from progress_service.domain.scoring import is_pass
from progress_service.domain.streak import civil_day
from progress_service.domain.submission import level_credit, rewards_of
from progress_service.store import courses, learner_read
from progress_service.store.learner_read import Ask, Found
from progress_service.store.ledger_write import Batch, EntryIds
from progress_service.store.outcomes import Credited
from progress_service.store.user_ranges import OfUsers, Users
from shared.errors import FailedPrecondition

log = structlog.get_logger(__name__)

# Completed levels that never paid, with the attempts that may have been worth it. What the
# ledger has is paid, even if the key is lost: unless a withdrawn attempt took it back, whose
# cancelling entry names the attempt, while a revocation is for good.
# Cost: the users' progress, and the attempts and entries of those who lack something.
# Index: level_progress_pkey, level_rewards_pkey, attempts_user, xp_entries_user.
_UNPAID = OfUsers("""
    WITH unpaid AS MATERIALIZED (
        SELECT p.user_id, p.course_id, p.level_id FROM level_progress p
        WHERE {p} AND p.user_id < '~' AND p.complete_time IS NOT NULL
          AND (SELECT true FROM level_rewards r
               WHERE r.user_id = p.user_id AND r.level_id = p.level_id LIMIT 1) IS NULL
    ), tried AS MATERIALIZED (
        SELECT a.* FROM attempts a
        WHERE {a} AND a.user_id IN (SELECT user_id FROM unpaid)
          AND NOT a.voided AND NOT a.under_review AND NOT a.without_xp
    ), paid AS MATERIALIZED (
        SELECT e.user_id, e.level_id FROM xp_entries e
        WHERE {e} AND e.user_id IN (SELECT user_id FROM unpaid)
          AND e.level_id <> '' AND e.metric <> 'marks' AND e.amount > 0
          AND (SELECT c.attempt_id FROM xp_entries c
               WHERE c.revokes_entry_id = e.entry_id) IS NULL
    )
    SELECT user_id, course_id, level_id, attempt_id, correct_answers, total_questions, passed,
           occurred_time
    FROM unpaid JOIN tried USING (user_id, course_id, level_id)
    WHERE (user_id, level_id) NOT IN (SELECT user_id, level_id FROM paid)
    ORDER BY user_id, level_id, coalesce(arrival, attempt_id)
""")
_VERSIONS = text(
    """SELECT course_id, version FROM courses
       WHERE course_id = ANY(CAST(:ids AS text[]))"""
)


class Unpaid(NamedTuple):
    """A completion of the course's current version that should have paid, by which attempt."""

    user_id: str
    course: Course
    level: Level
    attempt_id: int
    time: datetime


class UnpaidCompletions:
    """Finds and pays them; keeps the courses that it has read. `zone` is the deployment's."""

    def __init__(self, zone: ZoneInfo) -> None:
        self._zone = zone
        self._courses: dict[str, Course] = {}

    async def find(self, connection: AsyncConnection, users: Users) -> list[Unpaid]:
        """Completed levels with something to pay that never paid, each with the first attempt
        that passed or passes and was not recorded without XP.
        """
        rows = (await connection.execute(*_UNPAID.of(users))).all()
        await self._read_courses(connection, {row.course_id for row in rows})
        found: dict[tuple[str, str], Unpaid] = {}
        for row in rows:
            course = self._courses[row.course_id]
            level = course.levels.get(row.level_id)
            if level is None or not rewards_of(level) or not _passes(row, level):
                continue
            one = Unpaid(row.user_id, course, level, row.attempt_id, row.occurred_time)
            found.setdefault((row.user_id, row.level_id), one)
        return [*found.values()]

    async def _read_courses(self, connection: AsyncConnection, course_ids: set[str]) -> None:
        versions = await connection.execute(_VERSIONS, {"ids": sorted(course_ids)})
        changed = [
            row.course_id
            for row in versions
            if row.course_id not in self._courses
            or self._courses[row.course_id].version != row.version
        ]
        if changed:
            self._courses |= await courses.load(connection, changed)

    async def pay(
        self, connection: AsyncConnection, unpaid: Sequence[Unpaid], actor: str
    ) -> list[Credited]:
        """Writes the entries, in the windows of the attempts, and that the levels have paid;
        the users have been locked since before `unpaid` was found.
        """
        if not unpaid:
            return []
        asks = [Ask(one.user_id, "", one.course.course_id, one.level.level_id) for one in unpaid]
        states = await learner_read.read_states(connection, asks)
        count = sum(len(rewards_of(one.level)) for one in unpaid)
        catalog = await learner_read.read_catalog(connection, attempts=0, entries=count)
        ids = iter(catalog.entry_ids)
        totals = {
            one.user_id: dict(state.totals) for one, state in zip(unpaid, states, strict=True)
        }
        batch = Batch()
        credited: list[Credited] = []
        for one, state in zip(unpaid, states, strict=True):
            credits_ = _credits(one, totals[one.user_id])
            moment = Moment(one.time, civil_day(one.time, self._zone))
            for credit in credits_:
                windows = catalog.windows[credit.metric]
                entry = EntryIds(next(ids), windows, attempt_id=one.attempt_id, actor=actor)
                batch.add_entry(one.user_id, credit, moment, entry)
                credited.append(Credited(one.user_id, entry.entry_id, credit, ""))
            if credits_:
                _add_reward(batch, one, state, credits_)
        await batch.write(connection)
        return credited


def _passes(attempt: Any, level: Level) -> bool:
    return attempt.passed or is_pass(
        attempt.correct_answers, attempt.total_questions, level.pass_ratio
    )


def _credits(one: Unpaid, totals: dict[str, int]) -> list[Credit]:
    """What the completion pays, added to `totals`; nothing if that is more than a total holds."""
    try:
        found = [
            level_credit(one.level, one.course.course_id, metric, amount, totals)
            for metric, amount in rewards_of(one.level)
        ]
    except FailedPrecondition as error:
        log.warning(
            "completion cannot be paid",
            user_id=one.user_id,
            level_id=one.level.level_id,
            reason=error.reason,
        )
        return []
    totals |= {credit.metric: credit.total_after for credit in found}
    return found


def _add_reward(batch: Batch, one: Unpaid, state: Found, credits_: Sequence[Credit]) -> None:
    xp = sum(credit.amount for credit in credits_ if credit.metric == XP)
    level = state.level._replace(xp_earned=state.level.xp_earned + xp)
    batch.add_level(one.user_id, one.course.course_id, one.level.level_id, level)
    batch.level_rewards.append((one.user_id, one.level.level_id, one.attempt_id))
