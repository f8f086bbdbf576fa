"""Courses: versions of whole definitions, and a cache of the current ones."""

import json
from collections.abc import Iterable, Mapping

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from progress_service.domain.course import Course
from progress_service.domain.evaluation import PassRatios
from progress_service.store.course_json import from_json, to_json
from progress_service.store.not_found import course_not_found
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
_VERSION = text("SELECT version FROM courses WHERE course_id = :course_id")
# Cost: reads each of these definitions, which are never edited: what is found is kept.
_PASS_RATIOS = text(
    """SELECT v.version, array_agg(l.level ->> 'level_id') AS level_ids,
              array_agg(CAST(l.level ->> 'pass_ratio' AS float8)) AS pass_ratios
       FROM course_versions v
       CROSS JOIN LATERAL jsonb_path_query(v.definition, '$.sections[*].levels[*]') AS l (level)
       WHERE v.course_id = :course_id AND v.version = ANY(CAST(:versions AS bigint[]))
       GROUP BY v.version"""
)
# Cost: reads the definitions since the course has dropped the level.
_LAST_WITH = text(
    """SELECT course_id, version, definition::text AS definition FROM course_versions
       WHERE course_id = :course_id
         AND jsonb_path_exists(definition, '$.sections[*].levels[*] ? (@.level_id == $id)',
                               jsonb_build_object('id', CAST(:level_id AS text)))
       ORDER BY version DESC LIMIT 1"""
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


async def load_last_with(connection: AsyncConnection, course_id: str, level_id: str) -> Course:
    """The newest version that has the level, which the course once had."""
    params = {"course_id": course_id, "level_id": level_id}
    row = (await connection.execute(_LAST_WITH, params)).one()
    return from_json(row.course_id, row.version, json.loads(row.definition))


async def load_page(connection: AsyncConnection, after: str, limit: int) -> list[Course]:
    """Courses by id, after `after`."""
    rows = await connection.execute(_PAGE, {"after": after, "limit": limit})
    return [from_json(row.course_id, row.version, json.loads(row.definition)) for row in rows]


async def lock(connection: AsyncConnection, course_id: str) -> int:
    """Keeps other edits of the course out until the transaction ends; its version, 0: none yet."""
    key = {"course_id": course_id}
    await connection.execute(_LOCK, key)
    return (await connection.execute(_VERSION, key)).scalar_one_or_none() or 0


async def put(connection: AsyncConnection, course: Course) -> None:
    """Stores the definition as its version, the next one; the caller holds the course's lock.

    Raises Conflict (LEVEL_ID_TAKEN) when another course has, or had, one of its levels.
    """
    key = {"course_id": course.course_id, "version": course.version}
    await connection.execute(_PUT, key)
    ids = {"ids": list(course.levels), "course_id": course.course_id}
    await connection.execute(_TAKE_LEVELS, ids)
    await check_levels(connection, course)
    definition = json.dumps(to_json(course), separators=(",", ":"))
    await connection.execute(_PUT_VERSION, {**key, "definition": definition})


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

    def __init__(self, max_courses: int = 10_000, max_versions: int = 200) -> None:
        self._max = max_courses
        self._max_versions = max_versions
        self._courses: dict[str, Course] = {}
        self._by_level: dict[str, str] = {}
        self._pass_ratios: dict[tuple[str, int], PassRatios] = {}

    def of_level(self, level_id: str) -> Course | None:
        """The course that is known to have this level."""
        return self._courses.get(self._by_level.get(level_id, ""))

    def keep(self, course: Course) -> None:
        """Takes a version in that was just stored."""
        known = self._courses.get(course.course_id)
        if known is None or known.version < course.version:
            self._keep(course)

    async def current(self, connection: AsyncConnection, course_id: str) -> Course:
        """As `find`; raises NotFound (COURSE_NOT_FOUND)."""
        found = await self.find(connection, course_id)
        if found is None:
            raise course_not_found(course_id)
        return found

    async def find(self, connection: AsyncConnection, course_id: str) -> Course | None:
        """The version that the connection's snapshot has; read only when it is not known yet."""
        version = (await connection.execute(_VERSION, {"course_id": course_id})).scalar()
        known = self._courses.get(course_id)
        if known is not None and known.version == version:
            return known
        found = (await load(connection, [course_id])).get(course_id)
        if found is not None:
            self.keep(found)
        return found

    async def pass_ratios(
        self, connection: AsyncConnection, course_id: str, versions: range
    ) -> list[PassRatios]:
        """Those of each of these versions, in their order."""
        keys = [(course_id, version) for version in versions]
        found = {key: self._pass_ratios[key] for key in keys if key in self._pass_ratios}
        missing = [key[1] for key in keys if key not in found]
        if missing:
            params = {"course_id": course_id, "versions": missing}
            for row in await connection.execute(_PASS_RATIOS, params):
                read = dict(zip(row.level_ids, row.pass_ratios, strict=True))
                found[course_id, row.version] = read
            if len(self._pass_ratios) >= self._max_versions:
                self._pass_ratios.clear()
            self._pass_ratios |= dict([*found.items()][-self._max_versions :])
        return [found.get(key, {}) for key in keys]

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
