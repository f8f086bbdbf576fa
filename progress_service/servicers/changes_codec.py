"""Changes of the history for the wire."""

from collections.abc import Callable, Mapping
from typing import Any

import orjson
from google.protobuf.message import Message

from progress_service.servicers.board_codec import board_message
from progress_service.servicers.codec import timestamp
from progress_service.store.ledger_write import (
    PROFILE_CHANGE,
    REDACTION,
    STANDING_CORRECTION,
    USER_ERASURE,
    WINDOW_RESET,
    XP_DELTA,
)
from shared.gen.laurel.progress.v1 import progress_pb2 as pb
from shared.gen.laurel.types.v1 import types_pb2
from shared.periods import Window

_WINDOWS_OF_MASK = {
    mask: [types_pb2.Window.ValueType(window) for window in Window if mask & (1 << window)]
    for mask in range(64)
}


def change_message(row: Any) -> pb.Change:
    """A row of `history.read_changes`."""
    field, message = _KINDS[row.kind]
    return pb.Change(
        sequence=row.sequence,
        numbered_time=timestamp(row.numbered_time),
        **{field: message(row)},  # type: ignore[arg-type]
    )


def _delta(row: Any) -> pb.XpDelta:
    delta = pb.XpDelta(
        entry_id=str(row.entry_id),
        user_id=row.user_id,
        metric=row.metric,
        amount=row.amount,
        course_id=row.course_id,
        occurred_time=timestamp(row.occurred_time),
        source=row.source,
        occurred_date=row.occurred_date.isoformat(),
        windows=_WINDOWS_OF_MASK[row.windows],
    )
    if row.excluded_boards:
        boards = orjson.loads(row.excluded_boards)
        delta.excluded_boards.extend(board_message(*board) for board in boards)
    return delta


def _profile(row: Any) -> pb.ProfileChange:
    return pb.ProfileChange(
        user_id=row.user_id,
        display_name=row.display_name,
        avatar_url=row.avatar_url,
        hidden=row.hidden,
    )


def _erasure(row: Any) -> pb.UserErasure:
    return pb.UserErasure(user_id=row.user_id)


def _reset(row: Any) -> pb.WindowReset:
    return pb.WindowReset(board=_board(row))


def _correction(row: Any) -> pb.StandingCorrection:
    return pb.StandingCorrection(board=_board(row), user_id=row.user_id, score=row.amount)


def _board(row: Any) -> types_pb2.Board:
    return board_message(row.metric, row.course_id, row.board_window, row.period)


# The field of Change for each kind that is stored.
_KINDS: Mapping[int, tuple[str, Callable[[Any], Message]]] = {
    XP_DELTA: ("xp_delta", _delta),
    PROFILE_CHANGE: ("profile_change", _profile),
    USER_ERASURE: ("user_erasure", _erasure),
    WINDOW_RESET: ("window_reset", _reset),
    REDACTION: ("redaction", lambda _: pb.Redaction()),
    STANDING_CORRECTION: ("standing_correction", _correction),
}
