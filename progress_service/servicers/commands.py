"""Submissions and awards as they come over the wire."""

from progress_service.domain.award import Award
from progress_service.domain.ledger import XP
from progress_service.domain.submission import Submission
from progress_service.servicers.codec import milliseconds, moment
from shared.caller import actor
from shared.gen.laurel.progress.v1 import progress_pb2 as pb


def submission_of(request: pb.SubmitProgressRequest, *, without_xp: bool = False) -> Submission:
    """The domain's submission; only the time's form is checked here."""
    return Submission(
        user_id=request.user_id,
        level_id=request.level_id,
        correct_answers=request.correct_answers if request.HasField("correct_answers") else None,
        total_questions=request.total_questions,
        time_spent_ms=milliseconds(request.time_spent, "time_spent")
        if request.HasField("time_spent")
        else 0,
        request_id=request.request_id,
        occurred_time=moment(request.occurred_time, "occurred_time")
        if request.HasField("occurred_time")
        else None,
        without_xp=without_xp,
        actor=actor(),
    )


def award_of(request: pb.AwardXpRequest) -> Award:
    """The domain's award; an empty metric is xp."""
    return Award(
        user_id=request.user_id,
        metric=request.metric or XP,
        amount=request.amount,
        source=request.source,
        reference=request.reference,
        course_id=request.course_id,
        request_id=request.request_id,
        occurred_time=moment(request.occurred_time, "occurred_time")
        if request.HasField("occurred_time")
        else None,
        actor=actor(),
    )
