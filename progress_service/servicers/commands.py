"""Submissions, awards and corrections as they come over the wire."""

from progress_service.domain import bounds
from progress_service.domain.award import Award
from progress_service.domain.correction import Correction
from progress_service.domain.ledger import XP
from progress_service.domain.request import RequestKind
from progress_service.domain.submission import Submission
from progress_service.servicers import codec
from shared.caller import actor
from shared.errors import invalid_field
from shared.gen.laurel.progress.v1 import progress_pb2 as pb


def submission_of(request: pb.SubmitProgressRequest, *, without_xp: bool = False) -> Submission:
    """The domain's submission; only the time's form is checked here."""
    return Submission(
        user_id=request.user_id,
        level_id=request.level_id,
        correct_answers=request.correct_answers if request.HasField("correct_answers") else None,
        total_questions=request.total_questions,
        time_spent_ms=codec.milliseconds(request.time_spent, "time_spent")
        if request.HasField("time_spent")
        else 0,
        request_id=request.request_id,
        occurred_time=codec.moment(request.occurred_time, "occurred_time")
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
        occurred_time=codec.moment(request.occurred_time, "occurred_time")
        if request.HasField("occurred_time")
        else None,
        actor=actor(),
    )


def void_of(request: pb.VoidAttemptRequest) -> Correction:
    """The correction that withdraws an attempt; InvalidInput names the wrong field."""
    attempt_id = codec.number_id(request.attempt_id, "attempt_id")
    return _correction(RequestKind.VOID, attempt_id, request)


def revocation_of(request: pb.RevokeXpRequest) -> Correction:
    """The correction that cancels an entry; InvalidInput names the wrong field."""
    entry_id = codec.number_id(request.entry_id, "entry_id")
    return _correction(RequestKind.REVOCATION, entry_id, request)


def _correction(
    kind: RequestKind, target_id: int, request: pb.VoidAttemptRequest | pb.RevokeXpRequest
) -> Correction:
    request_id = codec.request_id(request.request_id)
    if not bounds.is_plain_text(request.reason, bounds.MAX_REASON_CHARS):
        raise invalid_field("reason", "must be at most 500 printable characters")
    return Correction(kind, target_id, request.reason, request_id, actor())
