"""What administrators ask for and have done, as it comes over the wire."""

from datetime import date
from typing import Any

from progress_service.domain import bounds
from progress_service.domain.ledger import XP
from progress_service.domain.request import fingerprint
from progress_service.servicers import codec
from progress_service.servicers.board_codec import board_of
from progress_service.store.erasures import Erasure
from progress_service.store.resets import Reset
from progress_service.store.reviews import Decision
from shared.caller import actor
from shared.errors import invalid_field
from shared.gen.laurel.progress.v1 import admin_pb2 as pb


def reset_of(request: pb.ResetWindowRequest, today: date) -> Reset:
    """The reset of the board as it was asked for; an empty period is the one of `today`."""
    if not request.HasField("board"):
        raise invalid_field("board", "must be set")
    board = board_of(request.board, "board", today)
    request_id = codec.request_id(request.request_id)
    asked = request.board
    print_ = fingerprint(asked.metric or XP, asked.course_id, int(board.window), asked.period)
    return Reset(board, request_id, print_, actor())


def erasure_of(request: pb.EraseUserRequest) -> Erasure:
    """The erasure of the named user."""
    return Erasure(codec.required_id(request.user_id, "user_id"), actor())


def decision_of(request: pb.ResolveFlaggedAttemptRequest) -> Decision:
    """The decision as it was made."""
    if not bounds.is_plain_text(request.reason, bounds.MAX_REASON_CHARS):
        raise invalid_field("reason", "must be at most 500 printable characters")
    attempt_id = codec.number_id(request.attempt_id, "attempt_id")
    return Decision(attempt_id, request.accept, request.reason, actor())


def queue_filters_of(request: pb.ListFlaggedAttemptsRequest) -> dict[str, str]:
    """Of whom, in which course and at which level the attempts are; "" where it is all the same."""
    filters = {name: str(getattr(request, name)) for name in ("user_id", "course_id", "level_id")}
    return {name: value and codec.required_id(value, name) for name, value in filters.items()}


def action_message(row: Any) -> pb.AdminAction:
    """A row of `admin_actions.load_page`."""
    return pb.AdminAction(
        method=row.method,
        actor=row.actor,
        caller=row.caller,
        user_id=row.user_id,
        detail=row.detail,
        create_time=codec.timestamp(row.create_time),
    )
