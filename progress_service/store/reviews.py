"""The decision on an attempt under review."""

from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from progress_service.domain import bounds
from progress_service.domain.ledger import Moment
from progress_service.domain.streak import civil_day, with_day
from progress_service.domain.submission import (
    CourseState,
    Judgement,
    LearnerState,
    LevelState,
    Submission,
    judge_taken,
)
from progress_service.store import admin_actions, courses, learner_read
from progress_service.store.admin_actions import AdminAction
from progress_service.store.learner_read import Ask, Learner
from progress_service.store.ledger_write import Batch, EntryIds
from progress_service.store.level_rows import LevelRows
from progress_service.store.not_found import attempt_not_found
from progress_service.store.outcomes import Credited
from progress_service.store.progress_read import ATTEMPT_COLUMNS
from progress_service.store.voids import VOID
from shared.errors import FailedPrecondition
from shared.identity import NOBODY, Actor

METHOD = "laurel.progress.v1.ProgressAdminService/ResolveFlaggedAttempt"

_ATTEMPT = text(f"SELECT {ATTEMPT_COLUMNS}, course_id FROM attempts WHERE attempt_id = :attempt_id")
_ACCEPT = text(
    """UPDATE attempts SET under_review = false, arrival = :arrival, passed = :passed,
           marks = :marks, reason = :reason
       WHERE attempt_id = :attempt_id"""
)


@dataclass(frozen=True, slots=True)
class Decision:
    """Accepts an attempt under review, or withdraws it."""

    attempt_id: int
    accept: bool
    reason: str
    actor: Actor = NOBODY


@dataclass(frozen=True, slots=True)
class Decided:
    """The attempt as it is then, a row of ATTEMPT_COLUMNS, and what it was paid."""

    attempt: Any
    credited: tuple[Credited, ...] = ()


async def decide(connection: AsyncConnection, decision: Decision, deployment: ZoneInfo) -> Decided:
    """Ends the review. An accepted attempt is judged as one that arrives now, and counts in the
    windows of its own time.

    Raises NotFound (ATTEMPT_NOT_FOUND), FailedPrecondition (NOT_UNDER_REVIEW, or TOTAL_TOO_LARGE:
    it stays under review).
    """
    user_id = (await _attempt(connection, decision.attempt_id)).user_id
    learners = await learner_read.lock_users(connection, [user_id])
    # Again: until now someone else could decide, or the user be erased.
    attempt = await _attempt(connection, decision.attempt_id)
    if not attempt.under_review:
        raise FailedPrecondition(
            "NOT_UNDER_REVIEW",
            "The attempt waits for no decision.",
            metadata={"attempt_id": str(decision.attempt_id)},
        )
    credited: tuple[Credited, ...] = ()
    if decision.accept:
        credited = await _accept(connection, decision, attempt, learners[user_id], deployment)
    else:
        params = {"attempt_id": decision.attempt_id, "reason": decision.reason}
        await connection.execute(VOID, params)
    # What it was held for gives way to the reason of the decision, and stays on record here.
    what = "accepted" if decision.accept else "withdrawn"
    detail = f"attempt {decision.attempt_id} at {attempt.level_id}, held for {attempt.reason}, "
    action = AdminAction(METHOD, decision.actor, user_id, f"{detail}{what}: {decision.reason}")
    await admin_actions.record(connection, [action])
    return Decided(await _attempt(connection, decision.attempt_id), credited)


async def _attempt(connection: AsyncConnection, attempt_id: int) -> Any:
    attempt = (await connection.execute(_ATTEMPT, {"attempt_id": attempt_id})).one_or_none()
    if attempt is None or not bounds.is_id(attempt.user_id):
        raise attempt_not_found(attempt_id)
    return attempt


async def _accept(
    connection: AsyncConnection,
    decision: Decision,
    attempt: Any,
    learner: Learner,
    deployment: ZoneInfo,
) -> tuple[Credited, ...]:
    rows = await LevelRows.read(connection, attempt.user_id, attempt.course_id)
    judgement = await _judge(connection, attempt, rows)
    catalog = await learner_read.read_catalog(
        connection, attempts=1, entries=len(judgement.credits)
    )
    credited = tuple(
        Credited(attempt.user_id, entry_id, credit, attempt.request_id)
        for entry_id, credit in zip(catalog.entry_ids, judgement.credits, strict=True)
    )
    batch = _batch(attempt, judgement, rows)
    moment = Moment(attempt.occurred_time, civil_day(attempt.occurred_time, deployment))
    for one in credited:
        windows = catalog.windows[one.credit.metric]
        ids = EntryIds(
            one.entry_id, windows, attempt_id=attempt.attempt_id, actor=decision.actor.name
        )
        batch.add_entry(attempt.user_id, one.credit, moment, ids)
    day = learner.day_of(attempt.occurred_time, deployment)
    if with_day(learner.runs, day) is not learner.runs:
        batch.active_days.append((attempt.user_id, day))
    accepted = {
        "attempt_id": attempt.attempt_id,
        "arrival": catalog.attempt_ids[0],
        "passed": judgement.passed,
        "marks": judgement.marks,
        "reason": decision.reason,
    }
    await connection.execute(_ACCEPT, accepted)
    await batch.write(connection)
    return credited


async def _judge(connection: AsyncConnection, attempt: Any, rows: LevelRows) -> Judgement:
    """By the course's current version; of a level that it has dropped by the last one that had
    it. The level was open when the attempt was made, and the course took it: what has become of
    either since is not held against the learner.
    """
    level_id = attempt.level_id
    ask = Ask(attempt.user_id, "", attempt.course_id, level_id)
    (found,) = await learner_read.read_states(connection, [ask])
    course = rows.course
    if level_id not in course.levels:
        course = await courses.load_last_with(connection, course.course_id, level_id)
    submission = Submission(
        attempt.user_id,
        level_id,
        attempt.correct_answers,
        attempt.total_questions,
        attempt.time_spent_ms,
        attempt.request_id,
        attempt.occurred_time,
    )
    level = rows.levels.get(level_id, LevelState())
    state = LearnerState(level, CourseState(), frozenset(), found.rewarded, found.totals)
    return judge_taken(submission, course, state, attempt.occurred_time)


def _batch(attempt: Any, judgement: Judgement, rows: LevelRows) -> Batch:
    """The level and the course as they are with the attempt."""
    batch = Batch()
    user_id, level_id, course = attempt.user_id, attempt.level_id, rows.course
    batch.add_level(user_id, course.course_id, level_id, judgement.level)
    rows.levels[level_id] = judgement.level
    batch.add_course(user_id, course.course_id, course.version, rows.sums(), attempt.occurred_time)
    if judgement.rewarded:
        batch.level_rewards.append((user_id, level_id, attempt.attempt_id))
    return batch
