"""Records submissions and awards: locks, reads, judges and writes in one transaction.

A group holds at most one command of each user; each command has its own outcome, and a
refused one leaves no trace. Users are locked in sorted order, so groups cannot deadlock.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy.ext.asyncio import AsyncConnection

from progress_service.domain import award as awards
from progress_service.domain import submission as submissions
from progress_service.domain.award import Award
from progress_service.domain.course import Course
from progress_service.domain.ledger import XP, Credit, Moment
from progress_service.domain.request import same_request
from progress_service.domain.streak import civil_day, current_streak, with_day
from progress_service.domain.submission import CourseState, LearnerState, Submission
from progress_service.store import learner_read
from progress_service.store.courses import CourseCache
from progress_service.store.learner_read import Ask, Catalog, Found, Learner
from progress_service.store.ledger_write import Batch, EntryIds
from shared.errors import LaurelError, NotFound

Command = Submission | Award


@dataclass(frozen=True, slots=True)
class Credited:
    """One ledger entry that was written, for the log."""

    user_id: str
    entry_id: int
    credit: Credit
    request_id: str


@dataclass(frozen=True, slots=True)
class Recorded:
    """A command's stored answer (JSON), and whether it had been given before."""

    answer: dict[str, Any]
    replayed: bool
    credited: tuple[Credited, ...] = ()


Outcome = Recorded | LaurelError


@lru_cache(maxsize=1024)
def _zone(name: str) -> ZoneInfo:
    return ZoneInfo(name)


class Recorder:
    """Records groups of commands. One per process, and one more for each dry run, since the
    courses that a dry run sees may never exist.
    """

    def __init__(self, zone: ZoneInfo, clock: Callable[[], datetime]) -> None:
        self._zone = zone
        self._clock = clock
        self._cache = CourseCache()

    async def record(
        self, connection: AsyncConnection, commands: Sequence[Command], actor: str = ""
    ) -> list[Outcome]:
        """The outcome of each command, in their order; all of them of different users."""
        group = _Group(self._clock(), self._zone, self._cache, actor, connection)
        return await group.record(commands)


@dataclass(slots=True)
class _Judged:
    """A command that changes something, with all that writing it needs."""

    index: int
    learner: Learner
    moment: Moment
    credits: tuple[Credit, ...]
    judgement: submissions.Judgement | None = None
    course: Course | None = None


class _Group:
    """One group on its way through its transaction."""

    def __init__(
        self,
        now: datetime,
        zone: ZoneInfo,
        cache: CourseCache,
        actor: str,
        connection: AsyncConnection,
    ) -> None:
        self._now = now
        self._zone = zone
        self._cache = cache
        self._actor = actor
        self._connection = connection

    async def record(self, commands: Sequence[Command]) -> list[Outcome]:
        outcomes: dict[int, Outcome] = {}
        for index, command in enumerate(commands):
            try:
                _check(command, self._now)
            except LaurelError as error:
                outcomes[index] = error
        learners = await learner_read.lock_users(
            self._connection, [c.user_id for i, c in enumerate(commands) if i not in outcomes]
        )
        open_: list[int] = []
        for index, command in enumerate(commands):
            if index in outcomes:
                continue
            if command.user_id not in learners:
                outcomes[index] = user_not_found(command.user_id)
            else:
                open_.append(index)
        if open_:
            await self._judge_and_write(commands, open_, learners, outcomes)
        return [outcomes[index] for index in range(len(commands))]

    async def _judge_and_write(
        self,
        commands: Sequence[Command],
        open_: list[int],
        learners: Mapping[str, Learner],
        outcomes: dict[int, Outcome],
    ) -> None:
        courses, found = await self._read(commands, open_)
        catalog = await learner_read.read_catalog(
            self._connection,
            attempts=sum(isinstance(commands[index], Submission) for index in open_),
            entries=sum(_most_entries(commands[i], courses.get(i)) for i in open_),
        )
        judged: list[_Judged] = []
        for index in open_:
            command = commands[index]
            try:
                result = self._judge(
                    index,
                    command,
                    learners[command.user_id],
                    courses.get(index),
                    found[index],
                    catalog,
                )
            except LaurelError as error:
                outcomes[index] = error
                continue
            if isinstance(result, Recorded):
                outcomes[index] = result
            else:
                judged.append(result)
        await self._write(commands, judged, found, catalog, outcomes)

    async def _read(
        self, commands: Sequence[Command], open_: list[int]
    ) -> tuple[dict[int, Course], dict[int, Found]]:
        """The course and the stored state of each command, read at one version of the course."""
        await self._cache.find_levels(
            self._connection,
            [c.level_id for i in open_ if isinstance(c := commands[i], Submission)],
        )
        while True:
            courses = {
                index: course
                for index in open_
                if isinstance(command := commands[index], Submission)
                and (course := self._cache.of_level(command.level_id)) is not None
            }
            asks = [_ask(commands[index], courses.get(index)) for index in open_]
            states = await learner_read.read_states(self._connection, asks)
            found = dict(zip(open_, states, strict=True))
            stale = {
                course.course_id
                for index, course in courses.items()
                if found[index].course_version != course.version
            }
            if not stale:
                break
            await self._cache.refresh(self._connection, stale)
        return courses, await self._with_current_sums(commands, courses, found)

    async def _with_current_sums(
        self,
        commands: Sequence[Command],
        courses: Mapping[int, Course],
        found: dict[int, Found],
    ) -> dict[int, Found]:
        """Judges the course sums anew where they were stored under another version."""
        stale = [
            index
            for index, course in courses.items()
            if found[index].stored_version not in (None, course.version)
        ]
        if not stale:
            return found
        levels = await learner_read.read_course_levels(
            self._connection,
            [(commands[index].user_id, courses[index].course_id) for index in stale],
        )
        for index, tried in zip(stale, levels, strict=True):
            found[index] = replace(found[index], course=course_sums(courses[index], tried))
        return found

    def _judge(
        self,
        index: int,
        command: Command,
        learner: Learner,
        course: Course | None,
        found: Found,
        catalog: Catalog,
    ) -> Recorded | _Judged:
        if found.answered is not None:
            answer = same_request(
                found.answered, command.kind, command.fingerprint(), command.request_id
            )
            return Recorded(answer, replayed=True)
        time = command.occurred_time or self._now
        moment = Moment(time, civil_day(time, self._zone))
        if isinstance(command, Award):
            if command.metric not in catalog.windows:
                raise metric_not_found(command.metric)
            if command.course_id and found.course_version is None:
                raise course_not_found(command.course_id)
            credit = awards.judge(
                command,
                found.totals,
                already_credited=found.referenced_entry_id is not None,
            )
            return _Judged(index, learner, moment, (credit,) if credit else ())
        if course is None:
            raise level_not_found(command.level_id)
        submissions.check_level(command, course)
        state = LearnerState(
            found.level, found.course, found.completed, found.rewarded, found.totals
        )
        judgement = submissions.judge(command, course, state, time)
        return _Judged(index, learner, moment, judgement.credits, judgement, course)

    async def _write(
        self,
        commands: Sequence[Command],
        judged: Sequence[_Judged],
        found: Mapping[int, Found],
        catalog: Catalog,
        outcomes: dict[int, Outcome],
    ) -> None:
        batch = Batch()
        attempt_ids = iter(catalog.attempt_ids)
        entry_ids = iter(catalog.entry_ids)
        for one in judged:
            command = commands[one.index]
            attempt_id = next(attempt_ids) if isinstance(command, Submission) else None
            entries = [
                Credited(command.user_id, next(entry_ids), credit, command.request_id)
                for credit in one.credits
            ]
            for entry in entries:
                ids = EntryIds(
                    entry.entry_id,
                    catalog.windows[entry.credit.metric],
                    attempt_id=attempt_id,
                    actor=self._actor,
                )
                batch.add_entry(command.user_id, entry.credit, one.moment, ids)
            streak = self._add_active_day(batch, one)
            if isinstance(command, Submission):
                answer = _add_submission(batch, command, one, attempt_id or 0, streak, found)
            else:
                answer = _add_award(batch, command, found[one.index], entries)
            batch.add_key(
                command.user_id, command.request_id, command.kind, command.fingerprint(), answer
            )
            outcomes[one.index] = Recorded(answer, replayed=False, credited=tuple(entries))
        await batch.write(self._connection)

    def _add_active_day(self, batch: Batch, one: _Judged) -> int:
        """Marks the learner's civil day as active; the streak as it is then."""
        zone = _zone(one.learner.time_zone) if one.learner.time_zone else self._zone
        day = civil_day(one.moment.time, zone)
        runs = with_day(one.learner.runs, day)
        if runs is not one.learner.runs:
            batch.active_days.append((one.learner.user_id, day))
        return current_streak(runs, civil_day(self._now, zone))


def course_sums(course: Course, tried: Mapping[str, tuple[int, bool]]) -> CourseState:
    """Completed levels and marks over the levels that the course's version has."""
    known = [value for level_id, value in tried.items() if level_id in course.levels]
    return CourseState(
        levels_completed=sum(completed for _, completed in known),
        marks=sum(best for best, _ in known),
    )


def user_not_found(user_id: str) -> NotFound:
    """No such user."""
    return NotFound("USER_NOT_FOUND", "No such user.", metadata={"user_id": user_id})


def course_not_found(course_id: str) -> NotFound:
    """No such course."""
    return NotFound("COURSE_NOT_FOUND", "No such course.", metadata={"course_id": course_id})


def level_not_found(level_id: str) -> NotFound:
    """No such level in any course's current version."""
    return NotFound("LEVEL_NOT_FOUND", "No such level.", metadata={"level_id": level_id})


def metric_not_found(metric: str) -> NotFound:
    """No such metric in the catalog."""
    return NotFound("METRIC_NOT_FOUND", "No such metric.", metadata={"metric": metric})


def _check(command: Command, now: datetime) -> None:
    if isinstance(command, Submission):
        submissions.check_request(command, now)
    else:
        awards.check_request(command, now)


def _ask(command: Command, course: Course | None) -> Ask:
    if isinstance(command, Award):
        return Ask(
            user_id=command.user_id,
            request_id=command.request_id,
            course_id=command.course_id,
            metric=command.metric,
            source=command.source,
            # Without a reference nothing is looked up: none was ever stored empty.
            reference=command.reference,
        )
    return Ask(
        user_id=command.user_id,
        request_id=command.request_id,
        course_id=course.course_id if course else "",
        level_id=command.level_id,
        neighbours=course.neighbours(command.level_id) if course else frozenset(),
    )


def _most_entries(command: Command, course: Course | None) -> int:
    if isinstance(command, Award):
        return 1
    return 2 + len(course.levels[command.level_id].rewards) if course else 0


def _add_award(
    batch: Batch, award: Award, found: Found, entries: Sequence[Credited]
) -> dict[str, Any]:
    entry_id = entries[0].entry_id if entries else found.referenced_entry_id
    if award.reference and entries:
        key = (award.user_id, award.metric, award.source, award.reference)
        batch.references.append((*key, entry_id))
    credit = entries[0].credit if entries else None
    return {
        "entry_id": str(entry_id),
        "amount_credited": credit.amount if credit else 0,
        "total": credit.total_after if credit else found.totals.get(award.metric, 0),
    }


def _add_submission(
    batch: Batch,
    command: Submission,
    one: _Judged,
    attempt_id: int,
    streak_days: int,
    found: Mapping[int, Found],
) -> dict[str, Any]:
    judgement, course = one.judgement, one.course
    if judgement is None or course is None:
        raise AssertionError("a submission is judged against a course")
    batch.attempts.append(
        (
            attempt_id,
            command.user_id,
            course.course_id,
            command.level_id,
            command.request_id,
            command.correct_answers,
            command.total_questions,
            judgement.marks,
            command.time_spent_ms,
            command.without_xp,
            one.moment.time,
        )
    )
    batch.add_level(command.user_id, course.course_id, command.level_id, judgement.level)
    batch.add_course(
        command.user_id, course.course_id, course.version, judgement.course, one.moment.time
    )
    if judgement.rewarded:
        batch.level_rewards.append((command.user_id, command.level_id))
    total_before = found[one.index].totals.get(XP, 0)
    return {
        "attempt_id": str(attempt_id),
        "completed": judgement.level.complete_time is not None,
        "xp_earned": judgement.xp_earned,
        "total_xp": total_before + judgement.xp_earned,
        "marks": judgement.marks,
        "best_marks": judgement.level.best_marks,
        "unlocked_level_ids": list(judgement.unlocked_level_ids),
        "streak_days": streak_days,
        "course_id": course.course_id,
        "course_version": course.version,
        "levels_completed": judgement.course.levels_completed,
        "levels_total": len(course.levels),
        "course_marks": judgement.course.marks,
        "course_max_marks": course.max_marks,
    }
