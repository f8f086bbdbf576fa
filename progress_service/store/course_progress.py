"""Where learners stand in a course, by its current version."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

import structlog
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from progress_service.domain.course import Course
from progress_service.domain.submission import CourseState, LevelState
from progress_service.store import evaluations, learner_read
from progress_service.store.courses import CourseCache
from progress_service.store.database import Database, Purpose
from progress_service.store.evaluations import Key
from progress_service.store.level_rows import load_levels
from progress_service.store.not_found import user_not_found
from shared.errors import LaurelError

log = structlog.get_logger(__name__)

# '~' comes after every character of an id: erased users are nobody's learners.
_LEARNERS_OF = "c.course_id = :course_id AND c.user_id < '~'"
_USER = text(
    """SELECT u.user_id, c.course_version, c.levels_completed, c.marks
       FROM users u
       LEFT JOIN course_progress c ON c.user_id = u.user_id AND c.course_id = :course_id
       WHERE u.user_id = :user_id"""
)
# Index: course_progress_course.
_PAGE = text(
    f"""SELECT c.user_id, c.course_version, c.levels_completed, c.marks, c.last_attempt_time
        FROM course_progress c WHERE {_LEARNERS_OF} AND c.user_id > :after
        ORDER BY c.user_id LIMIT :limit"""
)
_COUNT = text(f"SELECT count(*) FROM course_progress c WHERE {_LEARNERS_OF}")
# Index: course_progress_course, then each learner's primary-key range.
_COMPLETIONS = text(
    f"""SELECT c.user_id, c.course_version, p.completed, p.open, p.best_ratios
        FROM course_progress c
        CROSS JOIN LATERAL (
            SELECT array_agg(l.level_id) FILTER (WHERE complete_time IS NOT NULL) AS completed,
                   array_agg(l.level_id) FILTER (WHERE complete_time IS NULL) AS open,
                   array_agg(l.best_ratio) FILTER (WHERE complete_time IS NULL) AS best_ratios
            FROM level_progress l WHERE l.user_id = c.user_id AND l.course_id = c.course_id
        ) p
        WHERE {_LEARNERS_OF} AND c.user_id > :after
        ORDER BY c.user_id LIMIT :limit"""
)


@dataclass(frozen=True, slots=True)
class CourseStanding:
    """One learner in a course's current version; `levels`: those ever tried."""

    course: Course
    sums: CourseState
    levels: Mapping[str, LevelState]


class LearnerStanding(NamedTuple):
    """One learner of a list."""

    user_id: str
    sums: CourseState
    last_attempt_time: datetime


class Completion(NamedTuple):
    """What a learner has completed, as stored by `version`; `open`: of each level that was tried
    and is not completed, the best ratio.
    """

    user_id: str
    version: int
    completed: frozenset[str]
    open: Mapping[str, float]


async def of_learner(
    database: Database, courses: CourseCache, user_id: str, course_id: str
) -> CourseStanding:
    """From the stored evaluation; one that is stale is made anew, and stored unless someone else
    is writing what the learner does: then whoever asks next does it.

    Raises NotFound (USER_NOT_FOUND, COURSE_NOT_FOUND).
    """
    async with database.read() as connection:
        user = (
            await connection.execute(_USER, {"user_id": user_id, "course_id": course_id})
        ).one_or_none()
        if user is None:
            raise user_not_found(user_id)
        course = await courses.current(connection, course_id)
        levels = await load_levels(connection, user_id, course_id)
        if user.course_version is None:
            return CourseStanding(course, CourseState(), levels)
        if user.course_version == course.version:
            return CourseStanding(course, CourseState(user.levels_completed, user.marks), levels)
        (anew,) = await evaluations.judge(connection, courses, [Key(user_id, course)])
    if anew is None:
        raise AssertionError("one snapshot has a learner or not")
    await _store(database, courses, user_id, course_id)
    times = anew.complete_times
    return CourseStanding(
        course,
        anew.sums,
        {
            one: level._replace(complete_time=times.get(one, level.complete_time))
            for one, level in levels.items()
        },
    )


async def _store(database: Database, courses: CourseCache, user_id: str, course_id: str) -> None:
    """Judges the learner again, locked, if that can be done without waiting."""

    async def work(connection: AsyncConnection) -> None:
        if await learner_read.lock_free_users(connection, [user_id]):
            key = Key(user_id, await courses.current(connection, course_id))
            (anew,) = await evaluations.judge(connection, courses, [key])
            if anew is not None:
                await evaluations.write(connection, [anew])

    if database.has_room(Purpose.EDIT):
        try:
            await database.write(work)
        except LaurelError as error:
            log.debug("evaluation not stored", reason=error.reason)
        except Exception:
            # The answer is there; whoever writes for this learner is told.
            log.exception("evaluation not stored", course_id=course_id)


async def page(
    connection: AsyncConnection, courses: CourseCache, course_id: str, after: str, limit: int
) -> tuple[Course, list[LearnerStanding]]:
    """The course's learners after `after`, by user id; stale ones as they are by its current
    version. Raises NotFound (COURSE_NOT_FOUND).
    """
    course = await courses.current(connection, course_id)
    params = {"course_id": course_id, "after": after, "limit": limit}
    rows = (await connection.execute(_PAGE, params)).all()
    stale = [row.user_id for row in rows if row.course_version != course.version]
    keys = [Key(user_id, course) for user_id in stale]
    sums = await evaluations.sums_now(connection, courses, keys)
    anew = dict(zip(stale, sums, strict=True))
    return course, [
        LearnerStanding(
            row.user_id,
            anew.get(row.user_id) or CourseState(row.levels_completed, row.marks),
            row.last_attempt_time,
        )
        for row in rows
    ]


async def count_learners(connection: AsyncConnection, course_id: str) -> int:
    """How many users have an attempt in the course."""
    return int((await connection.execute(_COUNT, {"course_id": course_id})).scalar_one())


async def load_completions(
    connection: AsyncConnection, course_id: str, after: str, limit: int
) -> list[Completion]:
    """Of the course's learners after `after`, by user id."""
    params = {"course_id": course_id, "after": after, "limit": limit}
    return [
        Completion(
            row.user_id,
            row.course_version,
            frozenset(row.completed or ()),
            dict(zip(row.open or (), row.best_ratios or (), strict=True)),
        )
        for row in await connection.execute(_COMPLETIONS, params)
    ]
