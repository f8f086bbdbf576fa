"""RecalculateCourse: one learner at once, or everyone by the stored job, whose counts it tells."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import NamedTuple

from sqlalchemy.ext.asyncio import AsyncConnection

from progress_service.store import admin_actions, course_jobs, recalculation
from progress_service.store.admin_actions import AdminAction
from progress_service.store.course_jobs import Job
from progress_service.store.courses import CourseCache
from progress_service.store.database import Database
from shared.errors import ResourceExhausted, Unavailable
from shared.identity import Actor

MAX_FOLLOWERS = 32
_LOOK_S = 0.2
"""Between two looks at the job, and so between two messages."""
_REPEAT_S = 15.0
"""Without news the counts are repeated so often."""
_METHOD = "laurel.progress.v1.ProgressAdminService/RecalculateCourse"


class Counts(NamedTuple):
    """Learners to judge, judged so far, of them those who changed; and by which version."""

    users_total: int
    users_done: int
    users_changed: int
    course_version: int


Send = Callable[[Counts], Awaitable[None]]


@dataclass
class Recalculator:
    """`on_begin` is called when there may be a job to do."""

    database: Database
    courses: CourseCache
    draining: asyncio.Event
    on_begin: Callable[[], None]
    _followers: int = 0

    async def one(self, course_id: str, user_id: str, actor: Actor) -> Counts:
        """Judges one learner now. Raises NotFound (COURSE_NOT_FOUND, USER_NOT_FOUND)."""

        async def work(connection: AsyncConnection) -> Job:
            step = await recalculation.judge_one(connection, self.courses, course_id, user_id)
            action = AdminAction(_METHOD, actor, user_id, f"course {course_id}")
            await admin_actions.record(connection, [action])
            return step.job

        return _counts(await self.database.write(work))

    async def everyone(self, course_id: str, actor: Actor, send: Send) -> None:
        """Follows the course's job to its end, begun for this when none runs. The job goes on
        without its followers; counts only rise, also when an edit makes it begin again.

        Raises NotFound (COURSE_NOT_FOUND), ResourceExhausted (TOO_MANY_RECALCULATIONS),
        Unavailable (DRAINING) when this server shuts down.
        """
        if self._followers >= MAX_FOLLOWERS:
            raise ResourceExhausted(
                "TOO_MANY_RECALCULATIONS", "Too many recalculations are followed.", retry_delay_s=5
            )
        self._followers += 1
        try:
            await self._begin(course_id, actor)
            self.on_begin()
            await self._follow(course_id, send)
        finally:
            self._followers -= 1

    async def _begin(self, course_id: str, actor: Actor) -> None:
        async def work(connection: AsyncConnection) -> None:
            await self.courses.current(connection, course_id)
            await course_jobs.begin_unless_running(connection, course_id)
            action = AdminAction(_METHOD, actor, "", f"course {course_id}: every learner")
            await admin_actions.record(connection, [action])

        await self.database.write(work)

    async def _follow(self, course_id: str, send: Send) -> None:
        told: Counts | None = None
        told_at = 0.0
        while not self.draining.is_set():
            try:
                async with self.database.read() as connection:
                    job = await course_jobs.load(connection, course_id)
            except ResourceExhausted:
                # Reads come first; the job goes on without our looking.
                await self._pause()
                continue
            if job is None:
                raise AssertionError("jobs are never deleted")
            counts = _risen(told, _counts(job))
            if job.finished:
                counts = counts._replace(users_done=counts.users_total)
            if job.finished or counts != told or time.monotonic() - told_at >= _REPEAT_S:
                await send(counts)
                told, told_at = counts, time.monotonic()
            if job.finished:
                return
            await self._pause()
        raise Unavailable("DRAINING", "This server is shutting down; the job goes on.")

    async def _pause(self) -> None:
        draining = asyncio.ensure_future(self.draining.wait())
        try:
            await asyncio.wait([draining], timeout=_LOOK_S)
        finally:
            draining.cancel()


def _counts(job: Job) -> Counts:
    return Counts(job.users_total, job.users_done, job.users_changed, job.course_version)


def _risen(before: Counts | None, now: Counts) -> Counts:
    return now if before is None else Counts(*map(max, before, now))
