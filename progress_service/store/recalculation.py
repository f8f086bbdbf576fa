"""Judging the learners of a course by its current version, a few in each transaction.

Every learner is locked before anything of theirs is read, so what others write meanwhile is
neither lost nor overwritten. Learners whom someone else holds are not waited for while others
are locked: they are judged later, each in a transaction of their own.
"""

from collections.abc import Collection, Sequence
from typing import NamedTuple

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from progress_service.domain.course import Course
from progress_service.domain.evaluation import completion_ratio
from progress_service.store import course_jobs, evaluations, learner_read
from progress_service.store.course_jobs import Job
from progress_service.store.courses import CourseCache
from progress_service.store.evaluations import Evaluation, Key
from progress_service.store.not_found import user_not_found

_MOST_LEARNERS = 50
_MOST_LEVELS = 5_000
"""Of the learners of one step together, so that none is locked for long."""
_MOST_HELD = 500
_WAIT = text("SET LOCAL lock_timeout = '500ms'")


class Step(NamedTuple):
    """What a step of a job has done."""

    job: Job
    judged: int = 0
    changed: int = 0
    finished: bool = False


async def step(connection: AsyncConnection, courses: CourseCache, job: Job) -> Step:
    """One step of a claimed job: the next learners, or one of those who were held, or its end.

    Waits half a second for a learner who was held: the database's error says when that was
    not enough.
    """
    course = await courses.current(connection, job.course_id)
    if len(job.held_user_ids) < _MOST_HELD:
        user_ids = await course_jobs.next_learners(connection, job, _batch_size(course, job))
        if user_ids:
            return await _judge_next(connection, courses, job, course, user_ids)
    if job.held_user_ids:
        await connection.execute(_WAIT)
        user_id, *others = job.held_user_ids
        await learner_read.lock_users(connection, [user_id])
        changed = await judge(connection, courses, course, [user_id])
        return await _save(connection, job._replace(held_user_ids=tuple(others)), 1, changed)
    late = await course_jobs.left_behind(connection, job, _MOST_HELD)
    if late:
        return await _save(connection, course_jobs.with_held(job, late), 0, 0)
    await course_jobs.finish(connection, job)
    return Step(job, finished=True)


async def judge_one(
    connection: AsyncConnection, courses: CourseCache, course_id: str, user_id: str
) -> Step:
    """Judges one learner, at once; the answer's job is of this one learner.

    Raises NotFound (USER_NOT_FOUND, COURSE_NOT_FOUND).
    """
    course = await courses.current(connection, course_id)
    if not await learner_read.lock_users(connection, [user_id]):
        raise user_not_found(user_id)
    # Again: until the user was locked, the course could be edited.
    course = await courses.current(connection, course_id)
    changed = await judge(connection, courses, course, [user_id])
    job = Job(course_id, course.version, user_id, (), 1, 1, changed, finished=True, failures=0)
    return Step(job, 1, changed, finished=True)


async def put_off(connection: AsyncConnection, job: Job, pause_s: float, *, failed: bool) -> None:
    """Lets the job rest after a step that did not go well; not when it has moved on since.

    A step that failed for one learner alone leaves that one for later, and the others go on.
    """
    if not await course_jobs.is_unchanged(connection, job):
        return
    alone = await course_jobs.next_learners(connection, job, 1) if failed and job.failures else []
    if alone:
        later = course_jobs.with_held(job, alone)._replace(after_user_id=alone[-1])
        await course_jobs.save(connection, later)
    else:
        await course_jobs.postpone(connection, job, pause_s, failed=failed)


def _batch_size(course: Course, job: Job) -> int:
    """One by one after a failure: it may be one learner's."""
    if job.failures:
        return 1
    return max(1, min(_MOST_LEARNERS, _MOST_LEVELS // len(course.levels)))


async def _judge_next(
    connection: AsyncConnection,
    courses: CourseCache,
    job: Job,
    course: Course,
    user_ids: Sequence[str],
) -> Step:
    locked = await learner_read.lock_free_users(connection, user_ids)
    others = [user_id for user_id in user_ids if user_id not in locked]
    held = await learner_read.read_users(connection, others) if others else {}
    changed = await judge(connection, courses, course, locked)
    after = course_jobs.with_held(job, sorted(held))._replace(after_user_id=user_ids[-1])
    return await _save(connection, after, len(user_ids) - len(held), changed)


async def _save(connection: AsyncConnection, job: Job, judged: int, changed: int) -> Step:
    after = job._replace(
        users_done=job.users_done + judged, users_changed=job.users_changed + changed
    )
    await course_jobs.save(connection, after)
    return Step(after, judged, changed)


async def judge(
    connection: AsyncConnection, courses: CourseCache, course: Course, user_ids: Collection[str]
) -> int:
    """Judges locked learners and stores what they come to; how many of them that changed."""
    keys = [Key(user_id, course) for user_id in user_ids]
    found = [one for one in await evaluations.judge(connection, courses, keys) if one]
    await evaluations.write(connection, found)
    return sum([await _is_changed(connection, courses, one) for one in found])


async def _is_changed(connection: AsyncConnection, courses: CourseCache, one: Evaluation) -> bool:
    """Whether completion, marks or a level's completion differ from what was stored."""
    before, course = one.stored, one.key.course
    if one.complete_times or before.sums != one.sums:
        return True
    if before.version == course.version or not before.sums.levels_completed:
        return False
    versions = range(before.version, before.version + 1)
    (levels,) = await courses.pass_ratios(connection, course.course_id, versions)
    completed = before.sums.levels_completed
    return completion_ratio(completed, len(levels)) != completion_ratio(
        completed, len(course.levels)
    )
