"""A dry run of an import: judges what would be recorded, from what is stored and what came
before in the same stream. It only reads, so it holds no lock and delays no writer.
"""

from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import NamedTuple
from zoneinfo import ZoneInfo

from sqlalchemy.ext.asyncio import AsyncConnection

from progress_service.domain.active_day import ActiveDay
from progress_service.domain.award import Award
from progress_service.domain.bounds import MAX_ZONE_CHANGES
from progress_service.domain.course import Course
from progress_service.domain.evaluation import PassRatios, reached
from progress_service.domain.request import Answered
from progress_service.domain.submission import Submission
from progress_service.domain.user import User
from progress_service.store import courses as stored_courses
from progress_service.store import learner_read
from progress_service.store.course_edits import check_course
from progress_service.store.courses import CourseCache, levels_taken
from progress_service.store.judging import Judged, Judging
from progress_service.store.learner_read import Ask, Found, Learner
from progress_service.store.not_found import user_not_found
from progress_service.store.outcomes import Command, Credited, Outcome, Recorded
from progress_service.store.users import too_many_time_zones
from shared.errors import LaurelError, ResourceExhausted

MAX_FACTS = 2_000_000
"""Users, levels and about four facts of each attempt; some 100 bytes each."""


class _Zone(NamedTuple):
    """A user's time zone, and how often it was another before."""

    name: str
    changes: int


class _Open(NamedTuple):
    """A level that was tried and not passed: the best ratio, by the course's version."""

    best_ratio: float
    version: int


class DryRun:
    """What a stream has brought so far: users and courses, which request ids it has used, which
    levels were tried, completed and paid, which references credited.

    Facts are kept as their 64-bit hashes. Totals are not kept: of items that only together
    would exceed the largest total, none is rejected.
    """

    def __init__(self, zone: ZoneInfo, clock: Callable[[], datetime], limit: int) -> None:
        self._zone = zone
        self._clock = clock
        self._limit = limit
        self._facts: set[int] = set()
        self._users: dict[int, _Zone] = {}
        self._open: dict[int, _Open] = {}
        self._courses: dict[str, Course] = {}
        self._versions: dict[str, dict[int, PassRatios]] = {}
        self._owners: dict[str, str] = {}
        self._ratios = 0
        self._cache = CourseCache()

    async def put_users(
        self, connection: AsyncConnection, users: Sequence[User]
    ) -> list[LaurelError | None]:
        """Takes profiles in; why each would be refused."""
        latest = {user.user_id: user for user in users}
        stored = await learner_read.read_users(connection, [*latest])
        refused: dict[str, LaurelError] = {}
        for user_id, user in latest.items():
            before = self._users.get(hash(user_id), _Zone(user.time_zone, 0))
            if user_id in stored and not self._brought(user_id):
                before = _Zone(stored[user_id].time_zone, len(stored[user_id].earlier))
            after = _Zone(user.time_zone, before.changes + (user.time_zone != before.name))
            if after.changes > MAX_ZONE_CHANGES:
                refused[user_id] = too_many_time_zones(user_id)
            else:
                self._users[hash(user_id)] = after
        self._check_size()
        return [refused.get(user.user_id) for user in users]

    async def add_days(
        self, connection: AsyncConnection, days: Sequence[ActiveDay]
    ) -> list[LaurelError | None]:
        """Why each day would be refused."""
        others = {one.user_id for one in days if not self._brought(one.user_id)}
        known = await learner_read.read_users(connection, [*others]) if others else {}
        unknown = others.difference(known)
        return [user_not_found(one.user_id) if one.user_id in unknown else None for one in days]

    async def put_course(self, connection: AsyncConnection, course: Course) -> None:
        """Takes a definition in as the next version.

        Raises what refuses it: InvalidInput, Conflict (LEVEL_ID_TAKEN); or ResourceExhausted
        (DRY_RUN_TOO_LARGE).
        """
        await check_course(connection, course)
        await stored_courses.check_levels(connection, course)
        taken = {
            one: owner
            for one in course.levels
            if (owner := self._owners.get(one, course.course_id)) != course.course_id
        }
        if taken:
            raise levels_taken(dict([*taken.items()][:20]))
        before = self._courses.get(course.course_id)
        if before is None:
            found = await stored_courses.load(connection, [course.course_id])
            before = found.get(course.course_id)
        if before is None or before != replace(course, version=before.version):
            before = replace(course, version=before.version + 1 if before else 1)
            self._versions.setdefault(course.course_id, {})[before.version] = before.pass_ratios
            self._ratios += len(before.pass_ratios)
        self._courses[course.course_id] = before
        self._owners |= dict.fromkeys(course.levels, course.course_id)
        self._check_size()

    async def record(
        self, connection: AsyncConnection, commands: Sequence[Command]
    ) -> list[Outcome]:
        """The outcome that each command would have; all of them of different users.

        Raises ResourceExhausted (DRY_RUN_TOO_LARGE).
        """
        judging = Judging.begin(commands, self._clock(), self._zone, self, connection)
        user_ids = judging.open_user_ids
        learners = {
            one: Learner(one) for one in user_ids if self._brought(one)
        } | await learner_read.read_users(connection, user_ids)
        for one in await judging.judge(learners, self._recall):
            command = judging.commands[one.index]
            self._remember(command, one)
            credited = tuple(
                Credited(command.user_id, 0, credit, command.request_id) for credit in one.credits
            )
            judging.outcomes[one.index] = Recorded({}, replayed=False, credited=credited)
        return [judging.outcomes[index] for index in range(len(commands))]

    def _remember(self, command: Command, one: Judged) -> None:
        user_id = command.user_id
        request = (user_id, command.request_id)
        facts: list[Hashable] = [("request", request), ("contents", request, _contents(command))]
        if isinstance(command, Award):
            if command.reference and one.credits:
                facts.append(_reference(command))
        elif one.judgement is not None and one.course is not None:
            level, key = one.judgement.level, hash((user_id, command.level_id))
            if level.complete_time is None:
                self._open[key] = _Open(level.best_ratio, one.course.version)
            else:
                self._open.pop(key, None)
                facts.append(("completed", user_id, command.level_id))
            if one.judgement.rewarded:
                facts.append(("paid", user_id, command.level_id))
        self._add(facts)

    def _add(self, facts: Iterable[Hashable]) -> None:
        self._facts.update(map(hash, facts))
        self._check_size()

    def _brought(self, user_id: str) -> bool:
        return hash(user_id) in self._users

    def _knows(self, fact: Hashable) -> bool:
        return hash(fact) in self._facts

    def _check_size(self) -> None:
        known = (self._facts, self._users, self._open, self._owners)
        if sum(map(len, known)) + self._ratios > self._limit:
            raise ResourceExhausted(
                "DRY_RUN_TOO_LARGE",
                "A dry run remembers no more than this: try the data in parts.",
            )

    # As `Courses`, for judging.

    def of_level(self, level_id: str) -> Course | None:
        """The stream's course, or the stored one unless the stream has replaced it."""
        ours = self._courses.get(self._owners.get(level_id, ""))
        if ours is not None:
            return ours if level_id in ours.levels else None
        stored = self._cache.of_level(level_id)
        return None if stored is None or stored.course_id in self._courses else stored

    async def find_levels(self, connection: AsyncConnection, level_ids: Iterable[str]) -> None:
        """Reads the courses of those levels that are not known yet."""
        await self._cache.find_levels(
            connection, [one for one in level_ids if one not in self._owners]
        )

    async def refresh(self, connection: AsyncConnection, course_ids: Iterable[str]) -> None:
        """Reads these courses again."""
        await self._cache.refresh(connection, course_ids)

    async def pass_ratios(
        self, connection: AsyncConnection, course_id: str, versions: range
    ) -> list[PassRatios]:
        """Those of each of these versions, of which the stream's are the last."""
        ours = self._versions.get(course_id, {})
        stored = range(versions.start, min([versions.stop, *ours]))
        before = await self._cache.pass_ratios(connection, course_id, stored) if stored else []
        return [*before, *(ours.get(one, {}) for one in versions[len(stored) :])]

    def _recall(self, command: Command, ask: Ask, found: Found) -> Found:
        """Adds what the stream has brought to what is stored."""
        request = (command.user_id, command.request_id)
        if found.answered is None and self._knows(("request", request)):
            same = self._knows(("contents", request, _contents(command)))
            contents = command.fingerprint() if same else b""
            found = found._replace(answered=Answered(command.kind, contents, {}))
        if ask.course_id in self._courses:
            found = found._replace(course_version=self._courses[ask.course_id].version)
        if isinstance(command, Submission):
            return self._recall_progress(command, ask, found)
        if self._knows(_reference(command)):
            return found._replace(referenced_entry_id=0)
        return found

    def _recall_progress(self, command: Submission, ask: Ask, found: Found) -> Found:
        user_id = command.user_id
        level = found.level
        if self._completed(user_id, command.level_id, ask.course_id):
            level = level._replace(complete_time=self._clock())
        tried = self._open.get(hash((user_id, command.level_id)))
        if tried is not None:
            level = level._replace(best_ratio=max(level.best_ratio, tried.best_ratio))
        also = {one for one in ask.neighbours if self._completed(user_id, one, ask.course_id)}
        return found._replace(
            level=level,
            completed=found.completed | also,
            rewarded=found.rewarded or self._knows(("paid", user_id, command.level_id)),
        )

    def _completed(self, user_id: str, level_id: str, course_id: str) -> bool:
        """Whether an attempt of the stream did, by its own version of the course or a later one
        of the stream.
        """
        if self._knows(("completed", user_id, level_id)):
            return True
        tried = self._open.get(hash((user_id, level_id)))
        if tried is None:
            return False
        versions = self._versions.get(course_id, {})
        later = [ratios for version, ratios in versions.items() if version > tried.version]
        return level_id in reached(later, {level_id: tried.best_ratio})


def _contents(command: Command) -> Hashable:
    return (command.kind, command.fingerprint())


def _reference(award: Award) -> Hashable:
    return ("reference", award.user_id, award.metric, award.source, award.reference)
