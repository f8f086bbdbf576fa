"""Replacing a course's definition, and whom that touches."""

import asyncio
from dataclasses import dataclass, replace

from sqlalchemy.ext.asyncio import AsyncConnection

from progress_service.domain.course import Course, definition_violations
from progress_service.domain.evaluation import EditComparison
from progress_service.store import courses, metric_catalog, progress_read
from progress_service.store.database import Database
from shared.errors import FieldViolation, invalid_fields

_LEARNERS = 500
"""Read together."""
_AT_ONCE = 20
"""Judged without a pause: other calls go on in between."""


@dataclass(frozen=True, slots=True)
class CourseEdit:
    """The stored course and, when that differs, the one before."""

    course: Course
    before: Course | None


@dataclass(frozen=True, slots=True)
class Touched:
    """How many learners an edit touches and how."""

    users_affected: int = 0
    users_newly_locked: int = 0
    users_newly_unlocked: int = 0
    users_completion_changed: int = 0


async def put_course(connection: AsyncConnection, course: Course) -> CourseEdit:
    """Validates and stores a definition as the next version, in the caller's transaction.

    Raises InvalidInput (INVALID_FIELD) with every violation, Conflict (LEVEL_ID_TAKEN).
    """
    await check_course(connection, course)
    stored, before = await courses.put(connection, course)
    return CourseEdit(stored, None if stored is before else before)


async def check_course(connection: AsyncConnection, course: Course) -> None:
    """InvalidInput (INVALID_FIELD) with everything that is wrong with a definition."""
    violations = [*definition_violations(course), *await _unknown_metrics(connection, course)]
    if violations:
        raise invalid_fields(violations)


async def touched_by(database: Database, edit: CourseEdit) -> Touched:
    """Counts the learners of the course, a page at a time: each from a snapshot of its own, and
    outside of the edit's transaction, so it holds up neither writers nor other calls.
    """
    if edit.before is None:
        async with database.read() as connection:
            learners = await progress_read.count_learners(connection, edit.course.course_id)
        return Touched(users_affected=learners)
    counted = Touched()
    comparison = EditComparison(edit.before, edit.course)
    after = ""
    while True:
        async with database.read() as connection:
            page = await progress_read.load_completed(
                connection, edit.course.course_id, after, _LEARNERS
            )
        for n, (_, completed) in enumerate(page):
            effect = comparison.effect(completed)
            counted = replace(
                counted,
                users_affected=counted.users_affected + 1,
                users_newly_locked=counted.users_newly_locked + effect.newly_locked,
                users_newly_unlocked=counted.users_newly_unlocked + effect.newly_unlocked,
                users_completion_changed=counted.users_completion_changed
                + effect.completion_changed,
            )
            if n % _AT_ONCE == _AT_ONCE - 1:
                await asyncio.sleep(0)
        if len(page) < _LEARNERS:
            return counted
        after = page[-1][0]


async def _unknown_metrics(connection: AsyncConnection, course: Course) -> list[FieldViolation]:
    known = {metric.metric for metric in await metric_catalog.load_all(connection)}
    return [
        FieldViolation(
            f"course.sections[{s}].levels[{n}].rewards[{r}].metric",
            f"{reward.metric[:64]} is not a metric of the catalog",
        )
        for s, section in enumerate(course.sections)
        for n, level in enumerate(section.levels)
        for r, reward in enumerate(level.rewards)
        if reward.metric not in known
    ]
