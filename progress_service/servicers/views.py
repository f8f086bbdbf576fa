"""Stored rows and answers as the contract's messages."""

from datetime import datetime
from typing import Any

from progress_service.domain.course import Course
from progress_service.domain.evaluation import (
    LevelStatus,
    completion_ratio,
    level_status,
    section_status,
)
from progress_service.domain.submission import CourseState, LevelState, Submission
from progress_service.servicers.codec import duration, timestamp
from progress_service.store.course_progress import CourseStanding, LearnerStanding
from progress_service.store.outcomes import Recorded
from shared.gen.laurel.progress.v1 import progress_pb2 as pb


def submission_response(
    submission: Submission, recorded: Recorded, token: str
) -> pb.SubmitProgressResponse:
    """The answer as it was stored; the same bytes each time but for `replayed`."""
    answer = recorded.answer
    status = LevelStatus.IN_PROGRESS if answer.get("tried", True) else LevelStatus.AVAILABLE
    if answer["completed"]:
        status = LevelStatus.COMPLETED
    return pb.SubmitProgressResponse(
        status=pb.LevelStatus.ValueType(status),
        xp_earned=answer["xp_earned"],
        total_xp=answer["total_xp"],
        marks=answer["marks"],
        best_marks=answer["best_marks"],
        unlocked_level_ids=answer["unlocked_level_ids"],
        streak_days=answer["streak_days"],
        course=pb.CourseSummary(
            course_id=answer["course_id"],
            course_version=answer["course_version"],
            levels_completed=answer["levels_completed"],
            levels_total=answer["levels_total"],
            completion_ratio=completion_ratio(answer["levels_completed"], answer["levels_total"]),
            marks=answer["course_marks"],
            max_marks=answer["course_max_marks"],
        ),
        replayed=recorded.replayed,
        consistency_token=token,
        attempt_id=answer["attempt_id"],
        level_id=submission.level_id,
        correct_answers=submission.correct_answers or 0,
        total_questions=submission.total_questions,
        under_review=answer.get("under_review", False),
    )


def award_response(recorded: Recorded, token: str) -> pb.AwardXpResponse:
    """The answer as it was stored; the same bytes each time but for `replayed`."""
    answer = recorded.answer
    return pb.AwardXpResponse(
        entry_id=answer["entry_id"],
        amount_credited=answer["amount_credited"],
        total=answer["total"],
        replayed=recorded.replayed,
        consistency_token=token,
    )


def revocation_response(recorded: Recorded, token: str) -> pb.RevokeXpResponse:
    """The answer as it was stored; the same bytes each time."""
    answer = recorded.answer
    return pb.RevokeXpResponse(
        entry_id=answer["entry_id"], total=answer["total"], consistency_token=token
    )


def void_response(recorded: Recorded, token: str) -> pb.VoidAttemptResponse:
    """The answer as it was stored; the same bytes each time."""
    stored = dict(recorded.answer["level"])
    level_id, status = stored.pop("level_id"), LevelStatus(stored.pop("status"))
    if stored["complete_time"] is not None:
        stored["complete_time"] = datetime.fromisoformat(stored["complete_time"])
    state = LevelState(**stored)
    return pb.VoidAttemptResponse(
        level=_level(level_id, status, state if state.attempts else None),
        total_xp=recorded.answer["total_xp"],
        consistency_token=token,
    )


def course_progress_message(standing: CourseStanding) -> pb.GetCourseProgressResponse:
    """Every level and section of the course's current version, in its order."""
    course, stored = standing.course, standing.levels
    completed = {one for one, row in stored.items() if row.complete_time is not None}
    statuses = {one: level_status(course, one, completed, stored) for one in course.levels}
    return pb.GetCourseProgressResponse(
        course=_summary(course, standing.sums),
        levels=[_level(one, statuses[one], stored.get(one)) for one in course.levels],
        sections=[
            _section(section.section_id, [statuses[one.level_id] for one in section.levels])
            for section in course.sections
        ],
    )


def learner_progress_message(course: Course, learner: LearnerStanding) -> pb.LearnerProgress:
    """One learner of a course."""
    return pb.LearnerProgress(
        user_id=learner.user_id,
        course=_summary(course, learner.sums),
        last_attempt_time=timestamp(learner.last_attempt_time),
    )


def _summary(course: Course, sums: CourseState) -> pb.CourseSummary:
    return pb.CourseSummary(
        course_id=course.course_id,
        course_version=course.version,
        levels_completed=sums.levels_completed,
        levels_total=len(course.levels),
        completion_ratio=completion_ratio(sums.levels_completed, len(course.levels)),
        marks=sums.marks,
        max_marks=course.max_marks,
    )


def _level(level_id: str, status: LevelStatus, row: Any | None) -> pb.LevelProgress:
    message = pb.LevelProgress(level_id=level_id, status=pb.LevelStatus.ValueType(status))
    if row is not None:
        message.best_marks = row.best_marks
        message.attempts = row.attempts
        message.time_spent.CopyFrom(duration(row.time_spent_ms))
        message.xp_earned = row.xp_earned
        if row.complete_time is not None:
            message.complete_time.CopyFrom(timestamp(row.complete_time))
    return message


def _section(section_id: str, statuses: list[LevelStatus]) -> pb.SectionProgress:
    return pb.SectionProgress(
        section_id=section_id,
        status=pb.LevelStatus.ValueType(section_status(statuses)),
        levels_completed=statuses.count(LevelStatus.COMPLETED),
        levels_total=len(statuses),
    )


def attempt_message(row: Any) -> pb.Attempt:
    """A stored attempt."""
    return pb.Attempt(
        attempt_id=str(row.attempt_id),
        user_id=row.user_id,
        level_id=row.level_id,
        correct_answers=row.correct_answers,
        total_questions=row.total_questions,
        marks=row.marks,
        time_spent=duration(row.time_spent_ms),
        occurred_time=timestamp(row.occurred_time),
        create_time=timestamp(row.create_time),
        request_id=row.request_id,
        under_review=row.under_review,
        voided=row.voided,
        reason=row.reason,
    )


def entry_message(row: Any) -> pb.XpEntry:
    """A stored ledger entry."""
    return pb.XpEntry(
        entry_id=str(row.entry_id),
        user_id=row.user_id,
        metric=row.metric,
        amount=row.amount,
        source=row.source,
        reference=row.reference,
        course_id=row.course_id,
        level_id=row.level_id,
        occurred_time=timestamp(row.occurred_time),
        create_time=timestamp(row.create_time),
        revokes_entry_id=str(row.revokes_entry_id or ""),
        revoked_by_entry_id=str(row.revoked_by_entry_id or ""),
        reason=row.reason,
        actor=row.actor,
    )
