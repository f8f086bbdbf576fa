"""Replacing a course's definition, and whom that touches."""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple
from weakref import WeakValueDictionary

from sqlalchemy.ext.asyncio import AsyncConnection

from progress_service.domain.course import Course, definition_violations
from progress_service.domain.evaluation import EditComparison, PassRatios, reached
from progress_service.store import (
    admin_actions,
    course_jobs,
    course_progress,
    courses,
    metric_catalog,
)
from progress_service.store.admin_actions import AdminAction
from progress_service.store.course_progress import Completion
from progress_service.store.courses import CourseCache
from progress_service.store.database import Database
from shared.errors import FieldViolation, Unavailable, invalid_fields
from shared.identity import Actor

_LEARNERS = 500
_MOST_LEVELS = 200_000
"""Of the learners who are read together."""
_AT_ONCE_S = 0.005
"""Other calls go on after so long."""
_TRIES = 8
_WAITS = 3
"""For a course that is held: what was counted still holds, as long as the version does."""


class Editor(NamedTuple):
    """Who edits a course, and by which call: package.Service/Method."""

    method: str
    actor: Actor


@dataclass(frozen=True, slots=True)
class Touched:
    """How many learners an edit touches and how."""

    users_affected: int = 0
    users_newly_locked: int = 0
    users_newly_unlocked: int = 0
    users_completion_changed: int = 0


@dataclass(frozen=True, slots=True)
class CourseEdit:
    """The course as it is, or would be, after the edit, and whom that touches."""

    course: Course
    touched: Touched


async def put_course(connection: AsyncConnection, course: Course, editor: Editor) -> None:
    """Validates and stores a definition as the next version, with the job that judges its
    learners and the record of who did it, in the caller's transaction.

    A definition equal to the current one changes nothing. Raises InvalidInput (INVALID_FIELD)
    with every violation, Conflict (LEVEL_ID_TAKEN).
    """
    await check_course(connection, course)
    version = await courses.lock(connection, course.course_id)
    before = (await courses.load(connection, [course.course_id])).get(course.course_id)
    if before is None or before != replace(course, version=before.version):
        await _store(connection, replace(course, version=version + 1), editor)


async def check_course(connection: AsyncConnection, course: Course) -> None:
    """InvalidInput (INVALID_FIELD) with everything that is wrong with a definition."""
    violations = [*definition_violations(course), *await _unknown_metrics(connection, course)]
    if violations:
        raise invalid_fields(violations)


async def _store(connection: AsyncConnection, course: Course, editor: Editor) -> None:
    await courses.put(connection, course)
    if course.version > 1:
        await course_jobs.begin(connection, course.course_id)
    detail = f"course {course.course_id}: version {course.version}, {len(course.levels)} levels"
    await admin_actions.record(connection, [AdminAction(editor.method, editor.actor, "", detail)])


@dataclass
class CourseEdits:
    """Edits that say whom they touch; `on_edit` is called when there is a job to do."""

    database: Database
    courses: CourseCache
    on_edit: Callable[[], None]
    _turns: "WeakValueDictionary[str, asyncio.Lock]" = field(default_factory=WeakValueDictionary)

    async def preview(self, course: Course) -> CourseEdit:
        """What `put` would answer now; writes nothing. Raises as that, but for COURSE_BUSY."""
        return (await self._prepare(course))[1]

    async def put(self, course: Course, editor: Editor) -> CourseEdit:
        """Stores a definition as the next version; the counts compare it with the one before.

        They are made before the write, in short transactions of their own, and again when
        another edit has come between. Raises as `put_course`, and Unavailable (COURSE_BUSY)
        when one comes between every time.
        """
        turn = self._turns.setdefault(course.course_id, asyncio.Lock())
        async with turn:
            for _ in range(_TRIES):
                before, edit = await self._prepare(course)
                if before is edit.course:
                    return edit
                if await self._store_after(before.version if before else 0, edit.course, editor):
                    self.courses.keep(edit.course)
                    self.on_edit()
                    return edit
        raise Unavailable(
            "COURSE_BUSY", "The course is being edited all the time; retry it.", retry_delay_s=1.0
        )

    async def _prepare(self, course: Course) -> tuple[Course | None, CourseEdit]:
        """The current version, and what would become of it; the same when they are equal."""
        async with self.database.read() as connection:
            await check_course(connection, course)
            await courses.check_levels(connection, course)
            before = await self.courses.find(connection, course.course_id)
            learners = await course_progress.count_learners(connection, course.course_id)
        if before is None:
            return None, CourseEdit(replace(course, version=1), Touched(learners))
        after = replace(course, version=before.version + 1)
        if before == replace(course, version=before.version):
            return before, CourseEdit(before, Touched(learners))
        return before, CourseEdit(after, await self._touched(before, after))

    async def _store_after(self, version: int, course: Course, editor: Editor) -> bool:
        """Stores the course if that is still the version before it, and nobody holds it."""

        async def work(connection: AsyncConnection) -> bool:
            if await courses.lock(connection, course.course_id) != version:
                return False
            await _store(connection, course, editor)
            return True

        for _ in range(_WAITS):
            try:
                return await self.database.write(work)
            except Unavailable as error:
                if error.reason != "ROW_BUSY":
                    raise
        return False

    async def _touched(self, before: Course, after: Course) -> Touched:
        """Counts the learners, some at a time: each from a snapshot of its own, so it holds up
        neither writers nor other calls.
        """
        counted = Touched()
        comparison = EditComparison(before, after)
        size = max(1, min(_LEARNERS, _MOST_LEVELS // len(before.levels)))
        user_id = ""
        while True:
            async with self.database.read() as connection:
                page = await course_progress.load_completions(
                    connection, before.course_id, user_id, size
                )
                missed = range(min([one.version for one in page], default=0) + 1, before.version)
                between = await self.courses.pass_ratios(connection, before.course_id, missed)
            paused_at = time.monotonic()
            for one in page:
                # By the versions that this learner has not been judged by yet.
                versions = [*between[one.version + 1 - missed.start :], before.pass_ratios]
                counted = _counting(counted, comparison, one, versions, after)
                if time.monotonic() - paused_at > _AT_ONCE_S:
                    await asyncio.sleep(0)
                    paused_at = time.monotonic()
            if len(page) < size:
                return counted
            user_id = page[-1].user_id


def _counting(
    counted: Touched,
    comparison: EditComparison,
    one: Completion,
    versions: Sequence[PassRatios],
    after: Course,
) -> Touched:
    reached_before = reached(versions, one.open)
    left = {level: ratio for level, ratio in one.open.items() if level not in reached_before}
    effect = comparison.effect(
        one.completed.union(reached_before), reached([after.pass_ratios], left)
    )
    return Touched(
        counted.users_affected + 1,
        counted.users_newly_locked + effect.newly_locked,
        counted.users_newly_unlocked + effect.newly_unlocked,
        counted.users_completion_changed + effect.completion_changed,
    )


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
