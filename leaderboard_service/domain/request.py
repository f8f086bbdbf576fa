"""What a request may say, and what it means when it says nothing."""

from collections.abc import Sequence
from datetime import date
from functools import lru_cache

from leaderboard_service.domain.board import DEFAULT_METRIC, Board
from leaderboard_service.domain.question import After
from shared import page_token
from shared.errors import invalid_field
from shared.ids import ID_FORM, is_id
from shared.periods import Window, parse_period, period_of
from shared.rank_mode import RankMode
from shared.signed_token import Signer

_ID_RULE = f"must be {ID_FORM}"

_RANK_MODES = {0: RankMode.COMPETITION} | {int(mode): mode for mode in RankMode}

PAGE_SIZE = 50
MAX_PAGE_SIZE = 500
AROUND = 11
MAX_AROUND = 101
MAX_BATCH = 500
WATCHED = 10
MAX_WATCHED = 100
MAX_ALSO = 5


@lru_cache(maxsize=10_000)
def resolve_board(metric: str, course_id: str, window: int, period: str, today: date) -> Board:
    """The board asked for, with everything spelled out; `today` settles an empty period.

    Raises InvalidInput naming the field.
    """
    if metric and not is_id(metric):
        raise invalid_field("board.metric", _ID_RULE)
    if course_id and not is_id(course_id):
        raise invalid_field("board.course_id", _ID_RULE)
    if window not in (0, *Window):
        raise invalid_field("board.window", "is not a known window")
    known = Window(window or Window.ALL_TIME)
    if period:
        try:
            parse_period(known, period)
        except ValueError as error:
            raise invalid_field("board.period", str(error)) from None
    else:
        period = period_of(known, today)
    return Board(metric or DEFAULT_METRIC, course_id, known, period)


def check_user_id(user_id: str, field: str = "user_id") -> str:
    """The id, if it is well-formed; InvalidInput otherwise."""
    if not is_id(user_id):
        raise invalid_field(field, _ID_RULE if user_id else "is required")
    return user_id


def check_batch(user_ids: Sequence[str]) -> tuple[str, ...]:
    """The ids, each once, in the order given.

    InvalidInput for too many, and for a malformed one.
    """
    if len(user_ids) > MAX_BATCH:
        raise invalid_field("user_ids", f"at most {MAX_BATCH}")
    for index, user_id in enumerate(user_ids):
        check_user_id(user_id, f"user_ids[{index}]")
    return tuple(dict.fromkeys(user_ids))


def coerce_size(asked: int, default: int, most: int, field: str) -> int:
    """The number of entries meant: 0 is the default, too many are cut, negative is InvalidInput."""
    if asked < 0:
        raise invalid_field(field, "must not be negative")
    return min(asked or default, most)


def rank_mode(asked: int) -> RankMode:
    """The mode meant: 0 is COMPETITION. InvalidInput for an unknown one."""
    known = _RANK_MODES.get(asked)
    if known is None:
        raise invalid_field("rank_mode", "is not a known rank mode")
    return known


def also_boards(windows: Sequence[int], board: Board, today: date) -> tuple[Board, ...]:
    """The boards in those windows of which the scores are wanted too: of the same metric and
    course, in the periods of `today`. InvalidInput for too many, and for an unknown window.
    """
    if len(windows) > MAX_ALSO:
        raise invalid_field("also_windows", f"at most {MAX_ALSO}")
    for index, window in enumerate(windows):
        if window not in (0, *Window):
            raise invalid_field(f"also_windows[{index}]", "is not a known window")
    return tuple(
        resolve_board(board.metric, board.course_id, window, "", today) for window in windows
    )


def page_after(signer: Signer, token: str, board: Board, mode: RankMode) -> After | None:
    """Where the page begins; None for the top. InvalidInput (INVALID_PAGE_TOKEN)."""
    if not token:
        return None
    last = page_token.decode(signer, token, board.name, mode)
    return After(last.score, last.user_id, last.epoch, last.sequence)


def token_after(signer: Signer, board: Board, mode: RankMode, after: After) -> str:
    """The token of the page that begins there."""
    last = page_token.PageToken(after.epoch, after.sequence, after.score, after.user_id)
    return page_token.encode(signer, board.name, mode, last)
