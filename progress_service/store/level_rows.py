"""A learner's stored progress at the levels of one course, and what a correction makes of it."""

from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from progress_service.domain.course import Course
from progress_service.domain.evaluation import LevelStatus, Tried, course_sums, level_status
from progress_service.domain.submission import CourseState, LevelState
from progress_service.store import evaluations
from progress_service.store.courses import CourseCache
from progress_service.store.evaluations import Key

_READ = text(
    """SELECT level_id, best_marks, attempts, time_spent_ms, complete_time, xp_earned, best_ratio
       FROM level_progress WHERE user_id = :user_id AND course_id = :course_id"""
)
_SET_LEVEL = text(
    """UPDATE level_progress SET best_marks = :best_marks, attempts = :attempts,
           time_spent_ms = :time_spent_ms, complete_time = :complete_time,
           xp_earned = :xp_earned, best_ratio = :best_ratio
       WHERE user_id = :user_id AND course_id = :course_id AND level_id = :level_id"""
)
_DROP_LEVEL = text(
    """DELETE FROM level_progress
       WHERE user_id = :user_id AND course_id = :course_id AND level_id = :level_id"""
)
# Cost: a pass over the user's attempts (attempts_user).
_SET_COURSE = text(
    """UPDATE course_progress SET levels_completed = :levels_completed, marks = :marks,
           last_attempt_time = (SELECT max(occurred_time) FROM attempts
                                WHERE user_id = :user_id AND course_id = :course_id
                                  AND NOT voided AND NOT under_review)
       WHERE user_id = :user_id AND course_id = :course_id"""
)
_DROP_COURSE = text(
    "DELETE FROM course_progress WHERE user_id = :user_id AND course_id = :course_id"
)


async def load_levels(
    connection: AsyncConnection, user_id: str, course_id: str
) -> dict[str, LevelState]:
    """Every level of the course that the user ever tried, as stored."""
    rows = await connection.execute(_READ, {"user_id": user_id, "course_id": course_id})
    return {row.level_id: LevelState(*row[1:]) for row in rows}


@dataclass(frozen=True, slots=True)
class LevelRows:
    """One user's rows of one course, judged against its current version; the user is locked.

    `levels`: every level of the course that was ever tried, dropped ones too.
    """

    user_id: str
    course: Course
    levels: dict[str, LevelState]

    @classmethod
    async def read(cls, connection: AsyncConnection, user_id: str, course_id: str) -> "LevelRows":
        """Reads them, after what an older version left is judged anew and written.

        A cache of its own: definitions are large, and corrections few.
        """
        courses = CourseCache()
        course = await courses.current(connection, course_id)
        (evaluation,) = await evaluations.judge(connection, courses, [Key(user_id, course)])
        if evaluation is not None:
            await evaluations.write(connection, [evaluation])
        return cls(user_id, course, await load_levels(connection, user_id, course_id))

    async def replace(self, connection: AsyncConnection, level_id: str, state: LevelState) -> None:
        """Writes one level, and the sums over the course; rows without attempts go."""
        key = {"user_id": self.user_id, "course_id": self.course.course_id}
        if state.attempts:
            self.levels[level_id] = state
            await connection.execute(_SET_LEVEL, {**key, "level_id": level_id, **state._asdict()})
        else:
            self.levels.pop(level_id, None)
            await connection.execute(_DROP_LEVEL, {**key, "level_id": level_id})
        if not self.levels:
            await connection.execute(_DROP_COURSE, key)
            return
        await connection.execute(_SET_COURSE, {**key, **self.sums()._asdict()})

    def sums(self) -> CourseState:
        """Over the levels that the course's version has."""
        tried = {
            one: Tried(level.best_marks, level.best_ratio, level.complete_time is not None)
            for one, level in self.levels.items()
        }
        return course_sums(self.course, tried)

    def status(self, level_id: str) -> LevelStatus:
        """By the course's version; of a level that it has dropped, by the row alone."""
        completed = {one for one, state in self.levels.items() if state.complete_time is not None}
        if level_id in self.course.levels:
            return level_status(self.course, level_id, completed, self.levels)
        if level_id in completed:
            return LevelStatus.COMPLETED
        return LevelStatus.IN_PROGRESS if level_id in self.levels else LevelStatus.AVAILABLE
