"""Works stored jobs of courses off in the background; any number of replicas may."""

import asyncio
import random
import time
from contextlib import suppress
from dataclasses import dataclass, field

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from progress_service import metrics
from progress_service.store import course_jobs, recalculation
from progress_service.store.course_jobs import Job
from progress_service.store.courses import CourseCache
from progress_service.store.database import Database, Purpose
from progress_service.store.recalculation import Step
from shared.errors import LaurelError

log = structlog.get_logger(__name__)

_POLL_S = 1.0
"""How long a job that another replica has begun may lie unseen; our own wake us."""
_MAX_REST_S = 0.1
_HELD_PAUSE_S = 0.5
_FIRST_PAUSE_S = 0.5
_MAX_PAUSE_S = 300.0


@dataclass
class CourseWorker:
    """`run` in the background; `wake` when a job has begun."""

    database: Database
    courses: CourseCache
    _woken: asyncio.Event = field(default_factory=asyncio.Event)
    _failures: int = 0

    def wake(self) -> None:
        """There may be something to do."""
        self._woken.set()

    async def run(self) -> None:
        """Works until cancelled, at most half of the time: submissions come first."""
        while True:
            self._woken.clear()
            began_at = time.monotonic()
            try:
                step = await self._step()
                self._failures = 0
            except Exception as error:
                metrics.COURSE_JOB_FAILURES.inc()
                if isinstance(error, LaurelError):
                    log.warning("course job interrupted", reason=error.reason)
                else:
                    log.exception("course job failed")
                self._failures += 1
                await asyncio.sleep(_pause_after(self._failures) * random.uniform(0.5, 1.0))
                continue
            if step is None:
                with suppress(TimeoutError):
                    async with asyncio.timeout(_POLL_S * random.uniform(0.5, 1.0)):
                        await self._woken.wait()
            else:
                await asyncio.sleep(min(time.monotonic() - began_at, _MAX_REST_S))

    async def _step(self) -> Step | None:
        """A step of the job whose turn it is; None when there was none to do, or it is put off."""
        claimed: list[Job] = []

        async def work(connection: AsyncConnection) -> Step | None:
            job = await course_jobs.claim(connection)
            if job is None:
                return None
            claimed[:] = [job]
            return await recalculation.step(connection, self.courses, job)

        began_at = time.perf_counter()
        try:
            step = await self.database.write(work, Purpose.JOB)
        except Exception as error:
            if not claimed or not await self._put_off(claimed[0], error):
                raise
            return None
        if step is not None:
            metrics.COURSE_JOB_SECONDS.observe(time.perf_counter() - began_at)
            _count(step)
        return step

    async def _put_off(self, job: Job, error: Exception) -> bool:
        """Lets the job rest, if that is what mends the error."""
        failed = not isinstance(error, LaurelError)
        if isinstance(error, LaurelError):
            if error.reason != "ROW_BUSY":
                return False
        else:
            metrics.COURSE_JOB_FAILURES.inc()
            log.error("course job failed", exc_info=error, course_id=job.course_id)

        async def work(connection: AsyncConnection) -> None:
            pause_s = _pause_after(job.failures) if failed else _HELD_PAUSE_S
            await recalculation.put_off(connection, job, pause_s, failed=failed)

        await self.database.write(work, Purpose.JOB)
        return True


def _pause_after(failures: int) -> float:
    """Seconds of rest after so many failures in a row."""
    return min(_FIRST_PAUSE_S * 2.0 ** min(failures, 20), _MAX_PAUSE_S)


def _count(step: Step) -> None:
    metrics.COURSE_JOB_LEARNERS.inc(step.judged)
    metrics.COURSE_JOB_CHANGES.inc(step.changed)
    if step.finished:
        metrics.COURSE_JOBS.inc()
        log.info(
            "course job finished",
            course_id=step.job.course_id,
            course_version=step.job.course_version,
            users_changed=step.job.users_changed,
        )
