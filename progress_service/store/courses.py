"""Courses: versions of whole definitions, and a cache of the current ones."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from progress_service.domain.course import Course
from progress_service.store.course_json import from_json, to_json
from shared.errors import Conflict

_CURRENT = """
    SELECT c.course_id, c.version, v.definition::text AS definition
    FROM courses c JOIN course_versions v USING (course_id, version)
"""
_BY_IDS = text(_CURRENT + " WHERE c.course_id = ANY(CAST(:ids AS text[]))")
_VERSIONS_OF_LEVELS = text(
    """SELECT DISTINCT c.course_id, c.version FROM levels l JOIN courses c USING (course_id)
       WHERE l.level_id = ANY(CAST(:ids AS text[]))"""
)
_PAGE = text(_CURRENT + " WHERE c.course_id > :after ORDER BY c.course_id LIMIT :limit")
_LOCK = text("SELECT pg_advisory_xact_lock(hashtextextended('laurel.course:' || :course_id, 0))")
_TAKE_LEVELS = text(
    """INSERT INTO levels (level_id, course_id)
       SELECT unnest(CAST(:ids AS text[])), :course_id ORDER BY 1 ON CONFLICT DO NOTHING"""
)
_FOREIGN_LEVELS = text(
    """SELECT level_id, course_id FROM levels
       WHERE level_id = ANY(CAST(:ids AS text[])) AND course_id <> :course_id
       ORDER BY level_id LIMIT 20"""
)
_PUT = text(
    """INSERT INTO courses (course_id, version) VALUES (:course_id, :version)
       ON CONFLICT (course_id) DO UPDATE SET version = EXCLUDED.version, update_time = now()"""
)
_PUT_VERSION = text(
    """INSERT INTO course_versions (course_id, version, definition)
       VALUES (:course_id, :version, CAST(:definition AS jsonb))"""
)


async def load(connection: AsyncConnection, course_ids: Iterable[str]) -> dict[str, Course]:
    """The current versions of those courses that exist."""
    rows = await connection.execute(_BY_IDS, {"ids": list(course_ids)})
    return {
        row.course_id: from_json(row.course_id, row.version, json.loads(row.definition))
        for row in rows
    }


async def load_page(connection: AsyncConnection, after: str, limit: int) -> list[Course]:
    """Courses by id, after `after`."""
    rows = await connection.execute(_PAGE, {"after": after, "limit": limit})
    return [from_json(row.course_id, row.version, json.loads(row.definition)) for row in rows]


async def put(connection: AsyncConnection, course: Course) -> tuple[Course, Course | None]:
    """Stores the definition as the next version; the stored course and the one before.

    A definition equal to the current one changes nothing. The caller has validated it.
    Raises Conflict (LEVEL_ID_TAKEN) when another course has, or had, one of its levels.
    """
    ids = list(course.levels)
    await connection.execute(_LOCK, {"course_id": course.course_id})
    before = (await load(connection, [course.course_id])).get(course.course_id)
    if before is not None and before == replace(course, version=before.version):
        return before, before
    stored = replace(course, version=before.version + 1 if before else 1)
    key = {"course_id": course.course_id, "version": stored.version}
    await connection.execute(_PUT, key)
    await connection.execute(_TAKE_LEVELS, {"ids": ids, "course_id": course.course_id})
    await check_levels(connection, course)
    await connection.execute(
        _PUT_VERSION, {**key, "definition": json.dumps(to_json(stored), separators=(",", ":"))}
    )
    return stored, before


async def check_levels(connection: AsyncConnection, course: Course) -> None:
    """Conflict (LEVEL_ID_TAKEN) when another course has, or had, one of the levels."""
    params = {"ids": list(course.levels), "course_id": course.course_id}
    rows = (await connection.execute(_FOREIGN_LEVELS, params)).all()
    if rows:
        raise levels_taken({row.level_id: row.course_id for row in rows})


def levels_taken(owners: Mapping[str, str]) -> Conflict:
    """Levels that belong to other courses."""
    level_id, course_id = next(iter(owners.items()))
    return Conflict(
        "LEVEL_ID_TAKEN",
        f"Level {level_id} belongs to course {course_id}.",
        metadata=owners,
    )


class CourseCache:
    """Definitions by level, as last read. Whoever uses one checks its version in the same
    transaction as its effect, and calls `refresh` when another is current.
    """

    def __init__(self, max_courses: int = 10_000) -> None:
        self._max = max_courses
        self._courses: dict[str, Course] = {}
        self._by_level: dict[str, str] = {}

    def of_level(self, level_id: str) -> Course | None:
        """The course that is known to have this level."""
        return self._courses.get(self._by_level.get(level_id, ""))

    async def find_levels(self, connection: AsyncConnection, level_ids: Iterable[str]) -> None:
        """Reads the courses of those levels that are not known yet.

        A level that its course has dropped stays unknown: the definition is read only when
        the known one is not the current one.
        """
        unknown = sorted({one for one in level_ids if one not in self._by_level})
        if not unknown:
            return
        rows = await connection.execute(_VERSIONS_OF_LEVELS, {"ids": unknown})
        wanted = [row.course_id for row in rows if not self._has(row.course_id, row.version)]
        if wanted:
            await self.refresh(connection, wanted)

    def _has(self, course_id: str, version: int) -> bool:
        known = self._courses.get(course_id)
        return known is not None and known.version == version

    async def refresh(self, connection: AsyncConnection, course_ids: Iterable[str]) -> None:
        """Reads these courses again; those that are gone are forgotten."""
        wanted = list(course_ids)
        found = await load(connection, wanted)
        for course_id in wanted:
            self._forget(course_id)
        for course in found.values():
            self._keep(course)

    def _forget(self, course_id: str) -> None:
        before = self._courses.pop(course_id, None)
        for level_id in before.levels if before else ():
            self._by_level.pop(level_id, None)

    def _keep(self, course: Course) -> None:
        if len(self._courses) >= self._max and course.course_id not in self._courses:
            self._courses.clear()
            self._by_level.clear()
        self._forget(course.course_id)
        self._courses[course.course_id] = course
        for level_id in course.levels:
            self._by_level[level_id] = course.course_id
