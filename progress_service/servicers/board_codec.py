"""Boards as they come over the wire, and back."""

from datetime import date

from progress_service.domain.ledger import XP
from progress_service.servicers import codec
from progress_service.store.standings import BoardKey
from shared.errors import invalid_field
from shared.gen.laurel.types.v1 import types_pb2
from shared.periods import Window, parse_period, period_of


def board_of(board: types_pb2.Board, field: str, today: date) -> BoardKey:
    """The board with defaults spelled out: an empty period is the one that holds `today`.

    InvalidInput names the wrong field.
    """
    metric = codec.required_id(board.metric or XP, f"{field}.metric")
    if board.course_id:
        codec.required_id(board.course_id, f"{field}.course_id")
    window = window_of(board.window, f"{field}.window")
    if board.period:
        check_period(window, board.period, f"{field}.period")
    period = board.period or period_of(window, today)
    return BoardKey(metric, board.course_id, window, period)


def window_of(number: int, field: str) -> Window:
    """The window; 0 is ALL_TIME; InvalidInput for a number that is none."""
    try:
        return Window(number or Window.ALL_TIME)
    except ValueError:
        raise invalid_field(field, f"{number} is not a window") from None


def check_period(window: Window, period: str, field: str) -> None:
    """InvalidInput when the period is not one of the window."""
    try:
        parse_period(window, period)
    except ValueError as error:
        raise invalid_field(field, str(error)) from None


def board_message(metric: str, course_id: str, window: int, period: str) -> types_pb2.Board:
    """A board for the wire."""
    return types_pb2.Board(
        metric=metric,
        course_id=course_id,
        window=types_pb2.Window.ValueType(window),
        period=period,
    )
