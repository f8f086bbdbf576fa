"""Reads what a group of commands needs to know, and judges each; writes nothing."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from zoneinfo import ZoneInfo

from sqlalchemy.ext.asyncio import AsyncConnection

from progress_service.domain import award as awards
from progress_service.domain import submission as submissions
from progress_service.domain.award import Award
from progress_service.domain.course import Course
from progress_service.domain.ledger import XP, Credit, Moment
from progress_service.domain.plausibility import Admission, Admitted, Bound, Velocity
from progress_service.domain.streak import civil_day
from progress_service.domain.submission import LearnerState, Submission, check_not_late
from progress_service.store import evaluations, learner_read
from progress_service.store.evaluations import Evaluation, Key, Versions
from progress_service.store.learner_read import Ask, Catalog, Found, Learner
from progress_service.store.not_found import (
    course_not_found,
    level_not_found,
    metric_not_found,
    user_not_found,
)
from progress_service.store.outcomes import Command, Outcome, Recorded
from shared.errors import LaurelError


class Courses(Versions, Protocol):
    """The courses to judge against, as `CourseCache` has them."""

    def of_level(self, level_id: str) -> Course | None:
        """The course that is known to have this level."""

    async def find_levels(self, connection: AsyncConnection, level_ids: Iterable[str]) -> None:
        """Reads the courses of those levels that are not known yet."""

    async def refresh(self, connection: AsyncConnection, course_ids: Iterable[str]) -> None:
        """Reads these courses again."""


Recall = Callable[[Command, Ask, Found], Found]
"""What was read for a command, with what is known beside the database."""


@dataclass(frozen=True, slots=True)
class Judged:
    """A command that changes something, with all that writing it needs. `held`: the bound for which
    the attempt is kept under review, without credits.
    """

    index: int
    learner: Learner
    moment: Moment
    credits: tuple[Credit, ...]
    found: Found
    velocity: Velocity | None
    held: Bound | None
    judgement: submissions.Judgement | None = None
    course: Course | None = None


@dataclass(slots=True)
class Judging:
    """One group, at most one command of each user; outcomes are by the command's index.
    `admission` None: everything is plausible, as what is imported.
    """

    commands: Sequence[Command]
    now: datetime
    zone: ZoneInfo
    courses: Courses
    connection: AsyncConnection
    outcomes: dict[int, Outcome]
    catalog: Catalog
    admission: Admission | None = None

    @classmethod
    def begin(
        cls,
        commands: Sequence[Command],
        now: datetime,
        zone: ZoneInfo,
        courses: Courses,
        connection: AsyncConnection,
        admission: Admission | None = None,
    ) -> "Judging":
        """Refuses the commands that are wrong by themselves."""
        outcomes: dict[int, Outcome] = {}
        for index, command in enumerate(commands):
            try:
                _check(command, now)
            except LaurelError as error:
                outcomes[index] = error
        catalog = Catalog({}, [], [], now)
        return cls(commands, now, zone, courses, connection, outcomes, catalog, admission)

    @property
    def open_user_ids(self) -> list[str]:
        """The users of commands that have no outcome yet."""
        return [c.user_id for index, c in enumerate(self.commands) if index not in self.outcomes]

    async def judge(
        self, learners: Mapping[str, Learner], recall: Recall | None = None
    ) -> list[Judged]:
        """Judges the commands that are open; those that change something have no outcome yet.

        `catalog` has ids for their attempts and entries afterwards; not with `recall`, since
        what is judged by more than what is stored is not written.
        """
        open_: list[int] = []
        for index, command in enumerate(self.commands):
            if index in self.outcomes:
                continue
            if command.user_id in learners:
                open_.append(index)
            else:
                self.outcomes[index] = user_not_found(command.user_id)
        if not open_:
            return []
        courses, found = await self._read(open_, recall)
        written = open_ if recall is None else []
        self.catalog = await learner_read.read_catalog(
            self.connection,
            attempts=sum(isinstance(self.commands[index], Submission) for index in written),
            entries=sum(_most_entries(self.commands[i], courses.get(i)) for i in written),
        )
        judged: list[Judged] = []
        for index in open_:
            learner = learners[self.commands[index].user_id]
            try:
                result = self._judge(index, learner, courses.get(index), found[index])
            except LaurelError as error:
                self.outcomes[index] = error
                continue
            if isinstance(result, Recorded):
                self.outcomes[index] = result
            else:
                judged.append(result)
        return judged

    async def _read(
        self, open_: list[int], recall: Recall | None
    ) -> tuple[dict[int, Course], dict[int, Found]]:
        """The course and the stored state of each command, read at one version of the course."""
        commands = self.commands
        await self.courses.find_levels(
            self.connection,
            [c.level_id for i in open_ if isinstance(c := commands[i], Submission)],
        )
        while True:
            courses = {
                index: course
                for index in open_
                if isinstance(command := commands[index], Submission)
                and (course := self.courses.of_level(command.level_id)) is not None
            }
            asks = [self._ask(commands[index], courses.get(index)) for index in open_]
            states = await learner_read.read_states(self.connection, asks)
            if recall is not None:
                states = [
                    recall(commands[index], ask, state)
                    for index, ask, state in zip(open_, asks, states, strict=True)
                ]
            found = dict(zip(open_, states, strict=True))
            stale = {
                course.course_id
                for index, course in courses.items()
                if found[index].course_version != course.version
            }
            if not stale:
                break
            await self.courses.refresh(self.connection, stale)
        return courses, found | await self._judged_anew(courses, found)

    async def _judged_anew(
        self, courses: Mapping[int, Course], found: Mapping[int, Found]
    ) -> dict[int, Found]:
        """What was judged by another version of the course, by the present one."""
        stale = {
            index: Key(self.commands[index].user_id, course)
            for index, course in courses.items()
            if found[index].stored_version not in (None, course.version)
        }
        if not stale:
            return {}
        anew = await evaluations.judge(self.connection, self.courses, [*stale.values()])
        return {
            index: _by_evaluation(self.commands[index], found[index], evaluation)
            for index, evaluation in zip(stale, anew, strict=True)
            if evaluation is not None
        }

    def _judge(
        self, index: int, learner: Learner, course: Course | None, found: Found
    ) -> Recorded | Judged:
        command = self.commands[index]
        earlier = found.earlier_answer(command)
        if earlier is not None:
            return Recorded(earlier, replayed=True)
        check_not_late(command.occurred_time, command.earliest_time)
        if isinstance(command, Award):
            return self._judge_award(index, command, learner, found)
        if course is None:
            raise level_not_found(command.level_id)
        submissions.check_level(command, course)
        state = LearnerState(
            found.level, found.course, found.completed, found.rewarded, found.totals
        )
        moment = self._moment(command)
        judgement = submissions.judge(command, course, state, moment.time)
        admitted = Admitted(None)
        if self.admission is not None:
            least_ms = course.levels[command.level_id].min_time_spent_ms
            admitted = self.admission.of_attempt(
                found.velocity, judgement.xp_earned, too_quick=command.time_spent_ms < least_ms
            )
        credits_ = () if admitted.held else judgement.credits
        return Judged(index, learner, moment, credits_, found, *admitted, judgement, course)

    def _judge_award(self, index: int, award: Award, learner: Learner, found: Found) -> Judged:
        if award.metric not in self.catalog.windows:
            raise metric_not_found(award.metric)
        awards.check_self_award(award, self.catalog.self_awards.get(award.metric, 0))
        if award.course_id and found.course_version is None:
            raise course_not_found(award.course_id)
        credit = awards.judge(
            award, found.totals, already_credited=found.referenced_entry_id is not None
        )
        admitted = Admitted(None)
        if self.admission is not None:
            xp = credit.amount if credit and credit.metric == XP else 0
            admitted = self.admission.of_award(found.velocity, xp)
        credits_ = (credit,) if credit else ()
        return Judged(index, learner, self._moment(award), credits_, found, *admitted)

    def _moment(self, command: Command) -> Moment:
        time = command.occurred_time or self.now
        return Moment(time, civil_day(time, self.zone))

    def _ask(self, command: Command, course: Course | None) -> Ask:
        counts = self.admission is not None and self.admission.most.counts
        return _ask(command, course, command.counted_as if counts else "")


def _by_evaluation(command: Command, found: Found, evaluation: Evaluation) -> Found:
    times = evaluation.complete_times
    level = found.level
    if isinstance(command, Submission) and command.level_id in times:
        level = level._replace(complete_time=times[command.level_id])
    return found._replace(
        level=level,
        course=evaluation.sums,
        completed=found.completed.union(times),
        evaluation=evaluation,
    )


def _check(command: Command, now: datetime) -> None:
    if isinstance(command, Submission):
        submissions.check_request(command, now)
    else:
        awards.check_request(command, now)


def _ask(command: Command, course: Course | None, counted_as: str) -> Ask:
    if isinstance(command, Award):
        return Ask(
            user_id=command.user_id,
            request_id=command.request_id,
            course_id=command.course_id,
            metric=command.metric,
            source=command.source,
            # Without a reference nothing is looked up: none was ever stored empty.
            reference=command.reference,
            counted_as=counted_as,
        )
    return Ask(
        user_id=command.user_id,
        request_id=command.request_id,
        course_id=course.course_id if course else "",
        level_id=command.level_id,
        neighbours=course.neighbours(command.level_id) if course else frozenset(),
        counted_as=counted_as,
    )


def _most_entries(command: Command, course: Course | None) -> int:
    if isinstance(command, Award):
        return 1
    return 2 + len(course.levels[command.level_id].rewards) if course else 0
