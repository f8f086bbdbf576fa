"""Judging an attempt at a level: what it records, completes, opens and pays.

References: Open edX's best-of-attempts grading; XP once per user and level, as in every
game ledger. Nothing here looks at more than the attempt, the level and the learner's state.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from progress_service.domain import bounds, request
from progress_service.domain.course import Course, Level
from progress_service.domain.ledger import LEVEL_SOURCE, MARKS, XP, Credit, checked
from progress_service.domain.scoring import is_pass, marks_of
from shared.errors import (
    FailedPrecondition,
    FieldViolation,
    InvalidInput,
    invalid_field,
    invalid_fields,
)
from shared.identity import NOBODY, Actor


@dataclass(frozen=True, slots=True)
class Submission:
    """An attempt as it was sent; `occurred_time` None: now. `earliest_time`: how far back that may
    lie, None: as far as anything may.
    """

    user_id: str
    level_id: str
    correct_answers: int | None
    total_questions: int
    time_spent_ms: int
    request_id: str
    occurred_time: datetime | None = None
    without_xp: bool = False
    actor: Actor = NOBODY
    earliest_time: datetime | None = None

    kind = request.RequestKind.SUBMISSION
    counted_as = LEVEL_SOURCE

    def fingerprint(self) -> bytes:
        """Stands for the contents: not for the request id, the actor, and what they may do."""
        return request.fingerprint(
            self.user_id,
            self.level_id,
            self.correct_answers,
            self.total_questions,
            self.time_spent_ms,
            self.occurred_time and self.occurred_time.isoformat(),
            self.without_xp,
        )


class LevelState(NamedTuple):
    """A learner's stored progress at one level, from the attempts that count.

    `best_ratio`: the largest correct/total, which another pass_ratio is held against.
    """

    best_marks: int = 0
    attempts: int = 0
    time_spent_ms: int = 0
    complete_time: datetime | None = None
    xp_earned: int = 0
    best_ratio: float = 0.0


class CourseState(NamedTuple):
    """A learner's stored sums over the levels of a course's version."""

    levels_completed: int = 0
    marks: int = 0


@dataclass(frozen=True, slots=True)
class LearnerState:
    """What judging needs to know. `rewarded`: the level's reward is settled, paid before or
    carried over.
    """

    level: LevelState
    course: CourseState
    completed_neighbours: frozenset[str]
    rewarded: bool
    totals: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Judgement:
    """What an attempt changes; written whole or not at all. `rewarded`: it settles the level's
    reward, which is never paid again: by its credits, or as a result carried over without XP.
    """

    marks: int
    passed: bool
    level: LevelState
    course: CourseState
    credits: tuple[Credit, ...]
    rewarded: bool
    unlocked_level_ids: tuple[str, ...]

    @property
    def xp_earned(self) -> int:
        """XP that this attempt paid."""
        return sum(credit.amount for credit in self.credits if credit.metric == XP)


def check_request(submission: Submission, now: datetime) -> None:
    """InvalidInput (INVALID_FIELD, or INVALID_SCORE when the score alone is wrong)."""
    violations = [*_field_violations(submission, now)]
    scores = [*_score_violations(submission)]
    if scores and not violations:
        text = "; ".join(f"{one.field}: {one.description}" for one in scores)
        raise InvalidInput("INVALID_SCORE", text, violations=scores)
    if violations:
        raise invalid_fields([*violations, *scores])


def _field_violations(submission: Submission, now: datetime) -> Iterator[FieldViolation]:
    for field, value in (("user_id", submission.user_id), ("level_id", submission.level_id)):
        if not bounds.is_id(value):
            yield FieldViolation(field, f"must be {bounds.ID_FORM}")
    yield from request_id_violations(submission.request_id)
    if not 0 <= submission.time_spent_ms <= bounds.MAX_TIME_SPENT.total_seconds() * 1000:
        yield FieldViolation("time_spent", "must be 0 to 366 days")
    yield from time_violations(submission.occurred_time, now)


def request_id_violations(request_id: str) -> Iterator[FieldViolation]:
    """What is wrong with a request id."""
    if not bounds.is_request_id(request_id):
        yield FieldViolation("request_id", "must be 1 to 128 printable ASCII characters")


def time_violations(occurred_time: datetime | None, now: datetime) -> Iterator[FieldViolation]:
    """What is wrong with the time at which something is said to have happened."""
    if occurred_time is None:
        return
    if occurred_time > now + bounds.MAX_AHEAD:
        yield FieldViolation("occurred_time", "must not be more than 5 minutes ahead")
    if occurred_time < bounds.EARLIEST_TIME:
        yield FieldViolation("occurred_time", "must not be before the year 2000")


def check_not_late(occurred_time: datetime | None, earliest_time: datetime | None) -> None:
    """InvalidInput about `occurred_time` when it lies before what this caller may name."""
    if occurred_time and earliest_time and occurred_time < earliest_time:
        raise invalid_field("occurred_time", "lies further back than users may submit for")


def _score_violations(submission: Submission) -> Iterator[FieldViolation]:
    if submission.total_questions < 1:
        yield FieldViolation("total_questions", "must be at least 1")
    if submission.correct_answers is None:
        yield FieldViolation("correct_answers", "must be set")
    elif not 0 <= submission.correct_answers <= max(submission.total_questions, 0):
        yield FieldViolation("correct_answers", "must be 0 to total_questions")


def check_level(submission: Submission, course: Course) -> None:
    """InvalidInput (INVALID_SCORE) when the level asks another number of questions;
    FailedPrecondition (COURSE_ARCHIVED).
    """
    level = course.levels[submission.level_id]
    if course.archived:
        raise FailedPrecondition(
            "COURSE_ARCHIVED",
            "The course is archived and takes no submissions.",
            metadata={"course_id": course.course_id},
        )
    if level.question_count and submission.total_questions != level.question_count:
        text = f"must be {level.question_count}, the level's question_count"
        raise InvalidInput(
            "INVALID_SCORE",
            f"total_questions: {text}",
            violations=[FieldViolation("total_questions", text)],
        )


def judge(
    submission: Submission, course: Course, state: LearnerState, moment: datetime
) -> Judgement:
    """Judges a checked submission that was made at `moment`.

    Raises FailedPrecondition: LEVEL_LOCKED (metadata `missing_level_ids`), TOTAL_TOO_LARGE.
    A level that was completed stays so, and stays open.
    """
    _check_unlocked(course, course.levels[submission.level_id], state)
    return judge_taken(submission, course, state, moment)


def judge_taken(
    submission: Submission, course: Course, state: LearnerState, moment: datetime
) -> Judgement:
    """As `judge`, of a submission that was taken when its level was open."""
    level = course.levels[submission.level_id]
    correct = submission.correct_answers or 0
    marks = marks_of(level.max_marks, correct, submission.total_questions)
    passed = is_pass(correct, submission.total_questions, level.pass_ratio)
    before = state.level
    completes = passed and before.complete_time is None
    settles = passed and not state.rewarded
    pays = settles and not submission.without_xp
    credited = tuple(_credits(level, course.course_id, marks, state, pays=pays))
    xp = sum(credit.amount for credit in credited if credit.metric == XP)
    best = max(before.best_marks, marks)
    return Judgement(
        marks=marks,
        passed=passed,
        level=LevelState(
            best_marks=best,
            attempts=before.attempts + 1,
            time_spent_ms=before.time_spent_ms + submission.time_spent_ms,
            complete_time=moment if completes else before.complete_time,
            xp_earned=before.xp_earned + xp,
            best_ratio=max(before.best_ratio, correct / submission.total_questions),
        ),
        course=CourseState(
            levels_completed=state.course.levels_completed + completes,
            marks=state.course.marks + best - before.best_marks,
        ),
        credits=credited,
        rewarded=settles,
        unlocked_level_ids=course.unlocked_by(level.level_id, state.completed_neighbours)
        if completes
        else (),
    )


def _check_unlocked(course: Course, level: Level, state: LearnerState) -> None:
    if state.level.complete_time is not None:
        return
    missing = course.missing(level.level_id, state.completed_neighbours)
    if missing:
        raise FailedPrecondition(
            "LEVEL_LOCKED",
            f"{level.level_id} is locked until {', '.join(missing[:5])} "
            f"{'is' if len(missing) == 1 else 'are'} completed.",
            metadata={
                "level_id": level.level_id,
                "missing_level_ids": ",".join(missing[:20]),
                "missing_count": str(len(missing)),
            },
        )


def rewards_of(level: Level) -> tuple[tuple[str, int], ...]:
    """What completing a level pays: metrics, and amounts above 0."""
    amounts = ((XP, level.xp_reward), *((one.metric, one.amount) for one in level.rewards))
    return tuple((metric, amount) for metric, amount in amounts if amount > 0)


def level_credit(
    level: Level, course_id: str, metric: str, amount: int, totals: Mapping[str, int]
) -> Credit:
    """An amount that a level pays. Raises FailedPrecondition (TOTAL_TOO_LARGE)."""
    return checked(
        Credit(
            metric=metric,
            amount=amount,
            source=LEVEL_SOURCE,
            total_before=totals.get(metric, 0),
            course_id=course_id,
            level_id=level.level_id,
        )
    )


def _credits(
    level: Level, course_id: str, marks: int, state: LearnerState, *, pays: bool
) -> Iterator[Credit]:
    amounts = rewards_of(level) if pays else ()
    better = marks - state.level.best_marks
    if better > 0:
        amounts += ((MARKS, better),)
    for metric, amount in amounts:
        yield level_credit(level, course_id, metric, amount, state.totals)
