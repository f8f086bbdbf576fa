"""Stored jobs that judge every learner of a course by its current version; one row a course.

A job's row is held by the transaction that works on it, and an edit of the course writes the
same row: so a course has no newer version while a step of its job is under way.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

# '~' comes after every character of an id: erased users are nobody's learners.
_LEARNERS_OF = "c.course_id = :course_id AND c.user_id < '~'"
_NEW = f"""
    INSERT INTO course_jobs AS j (course_id, course_version, users_total)
    SELECT k.course_id, k.version,
           (SELECT count(*) FROM course_progress c WHERE {_LEARNERS_OF})
    FROM courses k WHERE k.course_id = :course_id
    ON CONFLICT (course_id) DO UPDATE SET
        course_version = greatest(j.course_version, EXCLUDED.course_version),
        after_user_id = '', held_user_ids = '{{}}', users_total = EXCLUDED.users_total,
        users_done = 0, users_changed = 0, finished = false, failures = 0,
        next_try_time = now(), begin_time = now()
"""
# Index of the count: course_progress_course.
_BEGIN = text(_NEW)
_BEGIN_UNLESS_RUNNING = text(_NEW + " WHERE j.finished")
_HURRY = text(
    """UPDATE course_jobs SET next_try_time = now()
       WHERE course_id = :course_id AND NOT finished AND next_try_time > now()"""
)
_COLUMNS = """course_id, course_version, after_user_id, held_user_ids, users_total, users_done,
              users_changed, finished, failures"""
# Index: course_jobs_due.
_CLAIM = text(
    f"""SELECT {_COLUMNS} FROM course_jobs WHERE NOT finished AND next_try_time <= now()
        ORDER BY next_try_time LIMIT 1 FOR UPDATE SKIP LOCKED"""
)
_LOAD = text(f"SELECT {_COLUMNS} FROM course_jobs WHERE course_id = :course_id")
_LOCK = text(f"SELECT {_COLUMNS} FROM course_jobs WHERE course_id = :course_id FOR UPDATE")
# Index: course_progress_course.
_NEXT = text(
    f"""SELECT c.user_id FROM course_progress c
        WHERE {_LEARNERS_OF} AND c.user_id > :after
        ORDER BY c.user_id LIMIT :limit"""
)
# Learners whose first attempt was committed after the cursor had passed them, judged by the
# version before. Cost: one pass over the course's learners.
_LEFT_BEHIND = text(
    f"""SELECT c.user_id FROM course_progress c
        WHERE {_LEARNERS_OF} AND c.course_version <> :version
          AND EXISTS (SELECT FROM users u WHERE u.user_id = c.user_id)
        LIMIT :limit"""
)
# To the back of the queue: jobs of several courses take turns.
_SAVE = text(
    """UPDATE course_jobs SET after_user_id = :after_user_id,
           held_user_ids = CAST(:held_user_ids AS text[]),
           users_total = greatest(users_total, CAST(:users_done AS bigint)),
           users_done = :users_done, users_changed = :users_changed, failures = 0,
           next_try_time = now()
       WHERE course_id = :course_id"""
)
# Who has left the course meanwhile needs no judging. Nobody is named any longer.
_FINISH = text(
    """UPDATE course_jobs SET finished = true, failures = 0, users_done = users_total,
           after_user_id = ''
       WHERE course_id = :course_id"""
)
_POSTPONE = text(
    """UPDATE course_jobs SET failures = failures + :failed,
           held_user_ids = CAST(:held_user_ids AS text[]),
           next_try_time = now() + make_interval(secs => :pause_s)
       WHERE course_id = :course_id"""
)


class Job(NamedTuple):
    """A job as it was stored; `held_user_ids`: learners before the cursor, still to be judged."""

    course_id: str
    course_version: int
    after_user_id: str
    held_user_ids: tuple[str, ...]
    users_total: int
    users_done: int
    users_changed: int
    finished: bool
    failures: int


async def begin(connection: AsyncConnection, course_id: str) -> None:
    """A job over everyone, by the course's current version, instead of one that may be running."""
    await connection.execute(_BEGIN, {"course_id": course_id})


async def begin_unless_running(connection: AsyncConnection, course_id: str) -> None:
    """As `begin`; a job that runs is left alone, but for a pause that it may be making."""
    await connection.execute(_BEGIN_UNLESS_RUNNING, {"course_id": course_id})
    await connection.execute(_HURRY, {"course_id": course_id})


async def claim(connection: AsyncConnection) -> Job | None:
    """The job whose turn it is, held until the transaction ends; None: nothing is due."""
    row = (await connection.execute(_CLAIM)).one_or_none()
    return _job(row) if row else None


async def is_unchanged(connection: AsyncConnection, job: Job) -> bool:
    """Whether it is as it was; if so, it is claimed again."""
    row = (await connection.execute(_LOCK, {"course_id": job.course_id})).one_or_none()
    return row is not None and _job(row) == job


async def load(connection: AsyncConnection, course_id: str) -> Job | None:
    """The course's job, running or finished; None: there never was one."""
    row = (await connection.execute(_LOAD, {"course_id": course_id})).one_or_none()
    return _job(row) if row else None


def _job(row: Any) -> Job:
    return Job(*row)._replace(held_user_ids=tuple(row.held_user_ids))


async def next_learners(connection: AsyncConnection, job: Job, limit: int) -> list[str]:
    """Users behind the cursor who have an attempt in the course, by id."""
    params = {"course_id": job.course_id, "after": job.after_user_id, "limit": limit}
    return list((await connection.execute(_NEXT, params)).scalars())


async def left_behind(connection: AsyncConnection, job: Job, limit: int) -> list[str]:
    """Users who are judged by another version than the job's."""
    params = {"course_id": job.course_id, "version": job.course_version, "limit": limit}
    return list((await connection.execute(_LEFT_BEHIND, params)).scalars())


async def save(connection: AsyncConnection, job: Job) -> None:
    """Stores cursor, held learners and counts of a claimed job: a step went well."""
    params = {
        "course_id": job.course_id,
        "after_user_id": job.after_user_id,
        "held_user_ids": list(job.held_user_ids),
        "users_done": job.users_done,
        "users_changed": job.users_changed,
    }
    await connection.execute(_SAVE, params)


async def finish(connection: AsyncConnection, job: Job) -> None:
    """Everyone is judged."""
    await connection.execute(_FINISH, {"course_id": job.course_id})


async def postpone(connection: AsyncConnection, job: Job, pause_s: float, *, failed: bool) -> None:
    """Nobody takes a claimed job up for so long; its first held learner goes to their end."""
    params = {
        "course_id": job.course_id,
        "held_user_ids": [*job.held_user_ids[1:], *job.held_user_ids[:1]],
        "pause_s": pause_s,
        "failed": int(failed),
    }
    await connection.execute(_POSTPONE, params)


def with_held(job: Job, user_ids: Sequence[str]) -> Job:
    """The job with these users to be judged later, once each."""
    return job._replace(held_user_ids=tuple(dict.fromkeys((*job.held_user_ids, *user_ids))))
