"""Stored evaluations of learners in courses: read, judged anew, and written.

A learner's evaluation is what level_progress says of completion and what course_progress sums
up, judged against course_version. One of an older version is stale: whoever needs it judges it
anew, and stores it if the learner is locked.
"""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple, Protocol

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from progress_service.domain.course import Course
from progress_service.domain.evaluation import PassRatios, Tried, course_sums, reached
from progress_service.domain.submission import CourseState
from progress_service.store.rows import RowSet

_MOST_JUDGED = 5_000
"""Levels of the learners who are judged anew without a pause."""
_MOST_SUMMED = 20_000
"""Of those whose sums alone are taken, which looks at no attempt."""

# Index: the primary keys. Cost: the levels that these learners have tried.
_READ = text(
    """SELECT ask.ordinal, c.course_version, c.levels_completed, c.marks,
              p.level_ids, p.best_marks, p.best_ratios, p.completed
       FROM unnest(CAST(:user_id AS text[]), CAST(:course_id AS text[])) WITH ORDINALITY
            AS ask (user_id, course_id, ordinal)
       JOIN course_progress c ON c.user_id = ask.user_id AND c.course_id = ask.course_id
       CROSS JOIN LATERAL (
           SELECT array_agg(l.level_id) AS level_ids, array_agg(l.best_marks) AS best_marks,
                  array_agg(l.best_ratio) AS best_ratios,
                  array_agg(l.complete_time IS NOT NULL) AS completed
           FROM level_progress l WHERE l.user_id = ask.user_id AND l.course_id = ask.course_id
       ) p"""
)
_REACHED = RowSet(
    "reached",
    {"user_id": "id", "course_id": "id", "level_id": "id", "pass_ratio": "double precision"},
)
# The attempts by which levels are reached. Cost: one pass over the attempts of these users
# (attempts_user), whatever the number of levels; an index by level would find everyone's.
_REACHING = f"""
    mine AS MATERIALIZED (
        SELECT attempt_id, coalesce(arrival, attempt_id) AS arrival, user_id, level_id,
               occurred_time, passed,
               correct_answers::float8 / total_questions AS ratio
        FROM attempts
        WHERE user_id = ANY(CAST(:user_ids AS text[])) AND NOT voided AND NOT under_review
    ), reaching AS (
        SELECT mine.* FROM mine
        JOIN {_REACHED.source} USING (user_id, level_id) WHERE mine.ratio >= pass_ratio
    )
"""
_TIMES = text(
    f"""WITH {_REACHING}
        SELECT DISTINCT ON (user_id, level_id) user_id, level_id, occurred_time
        FROM reaching ORDER BY user_id, level_id, arrival"""
)
_PASS = text(
    f"""WITH {_REACHING}
        UPDATE attempts SET passed = true FROM reaching
        WHERE attempts.attempt_id = reaching.attempt_id AND NOT reaching.passed"""
)
_COMPLETED = RowSet(
    "completed",
    {"user_id": "id", "course_id": "id", "level_id": "id", "complete_time": "timestamptz"},
)
_COMPLETE = text(
    f"""UPDATE level_progress p SET complete_time = completed_rows.complete_time
        FROM {_COMPLETED.source}
        WHERE p.user_id = completed_rows.user_id AND p.course_id = completed_rows.course_id
          AND p.level_id = completed_rows.level_id AND p.complete_time IS NULL"""
)
_SUMS = RowSet(
    "sums",
    {
        "user_id": "id",
        "course_id": "id",
        "course_version": "bigint",
        "levels_completed": "integer",
        "marks": "bigint",
    },
)
_SET_SUMS = text(
    f"""UPDATE course_progress c SET course_version = sums_rows.course_version,
               levels_completed = sums_rows.levels_completed, marks = sums_rows.marks
        FROM {_SUMS.source}
        WHERE c.user_id = sums_rows.user_id AND c.course_id = sums_rows.course_id"""
)


class Versions(Protocol):
    """The pass ratios of any version, as `CourseCache` has them."""

    async def pass_ratios(
        self, connection: AsyncConnection, course_id: str, versions: range
    ) -> list[PassRatios]:
        """Those of each of these versions, in their order."""


class Key(NamedTuple):
    """A learner in a course, by its current version."""

    user_id: str
    course: Course


@dataclass(frozen=True, slots=True)
class Stored:
    """What is stored of a learner in a course; `sums` are judged against `version`."""

    version: int
    sums: CourseState
    tried: Mapping[str, Tried]

    @property
    def open(self) -> dict[str, float]:
        """Of each level that was tried and is not completed, the best ratio."""
        return {one: level.best_ratio for one, level in self.tried.items() if not level.completed}


@dataclass(frozen=True, slots=True)
class Evaluation:
    """A learner judged anew. `reached`: levels that become completed, by which pass_ratio;
    `complete_times`: of the same levels, when the attempt occurred that was the first to do so.
    """

    key: Key
    stored: Stored
    sums: CourseState
    reached: Mapping[str, float] = field(default_factory=dict)
    complete_times: Mapping[str, datetime] = field(default_factory=dict)


async def read(connection: AsyncConnection, keys: Sequence[Key]) -> list[Stored | None]:
    """What is stored of each; None: the user has no attempt in the course."""
    found: list[Stored | None] = [None] * len(keys)
    params = {
        "user_id": [key.user_id for key in keys],
        "course_id": [key.course.course_id for key in keys],
    }
    for row in await connection.execute(_READ, params):
        levels = zip(row.best_marks or (), row.best_ratios or (), row.completed or (), strict=True)
        tried = dict(zip(row.level_ids or (), map(Tried._make, levels), strict=True))
        sums = CourseState(row.levels_completed, row.marks)
        found[row.ordinal - 1] = Stored(row.course_version, sums, tried)
    return found


async def judge(
    connection: AsyncConnection, versions: Versions, keys: Sequence[Key]
) -> list[Evaluation | None]:
    """Reads each and judges it anew, by every version since its own; writes nothing. Other calls
    go on in between.

    None: the user has no attempt in the course.
    """
    judged: list[Evaluation | None] = []
    for part in _parts(keys, _MOST_JUDGED):
        judged += await _judge(connection, versions, part)
        await asyncio.sleep(0)
    return judged


async def _judge(
    connection: AsyncConnection, versions: Versions, keys: Sequence[Key]
) -> list[Evaluation | None]:
    found = await read(connection, keys)
    reached_by = [
        await _reached(connection, versions, key.course, stored) if stored else {}
        for key, stored in zip(keys, found, strict=True)
    ]
    times = await _complete_times(connection, keys, reached_by)
    judged: list[Evaluation | None] = []
    for key, stored, levels in zip(keys, found, reached_by, strict=True):
        if stored is None:
            judged.append(None)
            continue
        # What no attempt bears out is not completed, whatever was stored of the best ratio.
        complete = {one: times[key.user_id, one] for one in levels if (key.user_id, one) in times}
        sums = course_sums(key.course, stored.tried, complete)
        judged.append(Evaluation(key, stored, sums, levels, complete))
    return judged


async def sums_now(
    connection: AsyncConnection, versions: Versions, keys: Sequence[Key]
) -> list[CourseState]:
    """The sums of each by its current version, judged anew; looks at no attempt. Other calls go on
    in between.
    """
    sums: list[CourseState] = []
    for part in _parts(keys, _MOST_SUMMED):
        sums += await _sums_now(connection, versions, part)
        await asyncio.sleep(0)
    return sums


async def _sums_now(
    connection: AsyncConnection, versions: Versions, keys: Sequence[Key]
) -> list[CourseState]:
    found = await read(connection, keys)
    return [
        course_sums(
            key.course,
            stored.tried,
            await _reached(connection, versions, key.course, stored),
        )
        if stored
        else CourseState()
        for key, stored in zip(keys, found, strict=True)
    ]


def _parts(keys: Sequence[Key], most_levels: int) -> Iterator[list[Key]]:
    """The keys in parts that have about as many levels each, however large their courses."""
    part: list[Key] = []
    levels = 0
    for key in keys:
        part.append(key)
        levels += len(key.course.levels)
        if levels >= most_levels:
            yield part
            part, levels = [], 0
    if part:
        yield part


async def _reached(
    connection: AsyncConnection, versions: Versions, course: Course, stored: Stored
) -> dict[str, float]:
    open_ = stored.open
    if not open_:
        return {}
    between = await versions.pass_ratios(
        connection, course.course_id, range(stored.version + 1, course.version)
    )
    return reached([*between, course.pass_ratios], open_)


async def _complete_times(
    connection: AsyncConnection,
    keys: Sequence[Key],
    reached_by: Sequence[Mapping[str, float]],
) -> dict[tuple[str, str], datetime]:
    """By user and level: a level belongs to one course for good."""
    rows = [
        (key.user_id, key.course.course_id, level_id, ratio)
        for key, levels in zip(keys, reached_by, strict=True)
        for level_id, ratio in levels.items()
    ]
    if not rows:
        return {}
    found = await connection.execute(_TIMES, _attempts_params(rows))
    return {(row.user_id, row.level_id): row.occurred_time for row in found}


async def complete(connection: AsyncConnection, evaluations: Sequence[Evaluation]) -> None:
    """Stores which levels became completed; the caller holds the learners, and writes the sums."""
    levels = [
        (one.key.user_id, one.key.course.course_id, level_id, one.reached[level_id], time)
        for one in evaluations
        for level_id, time in one.complete_times.items()
    ]
    if levels:
        await connection.execute(_PASS, _attempts_params([row[:4] for row in levels]))
        rows = [(*row[:3], row[4]) for row in levels]
        await connection.execute(_COMPLETE, _COMPLETED.params(rows))


def _attempts_params(reached_levels: Sequence[tuple[str, str, str, float]]) -> dict[str, Any]:
    user_ids = sorted({row[0] for row in reached_levels})
    return {**_REACHED.params(reached_levels), "user_ids": user_ids}


async def write(connection: AsyncConnection, evaluations: Sequence[Evaluation]) -> None:
    """Stores the evaluations; the caller holds the learners since before they were judged."""
    await complete(connection, evaluations)
    rows = [
        (one.key.user_id, one.key.course.course_id, one.key.course.version, *one.sums)
        for one in evaluations
        if (one.stored.version, one.stored.sums) != (one.key.course.version, one.sums)
    ]
    if rows:
        await connection.execute(_SET_SUMS, _SUMS.params(rows))
