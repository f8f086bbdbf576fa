"""`laurel top` and `laurel rank`: reading boards from LeaderboardService."""

from __future__ import annotations

from enum import Enum

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from shared.cli.calls import CALL_TIMEOUT_S, Peer, connected, one_line
from shared.cli.output import number, plain
from shared.gen.laurel.leaderboard.v1 import leaderboard_pb2
from shared.gen.laurel.leaderboard.v1.leaderboard_pb2_grpc import LeaderboardServiceStub
from shared.gen.laurel.types.v1 import types_pb2


class WindowChoice(Enum):
    """The windows as options."""

    ALL_TIME = "all-time"
    YEAR = "year"
    MONTH = "month"
    WEEK = "week"
    DAY = "day"

    @property
    def window(self) -> types_pb2.Window.ValueType:
        """The window in the contract's words."""
        return types_pb2.Window.Value(f"WINDOW_{self.name}")


def board(metric: str, course: str, window: WindowChoice, period: str) -> types_pb2.Board:
    """The board that the options name."""
    return types_pb2.Board(metric=metric, course_id=course, window=window.window, period=period)


async def get_top(
    peer: Peer, wanted: types_pb2.Board, *, limit: int, user_id: str
) -> leaderboard_pb2.GetTopResponse:
    """The board's first `limit` entries, and the user's own if `user_id` is not empty."""
    request = leaderboard_pb2.GetTopRequest(board=wanted, page_size=limit, user_id=user_id)
    async with connected(peer) as channel:
        return await LeaderboardServiceStub(channel).GetTop(request, timeout=CALL_TIMEOUT_S)


async def get_rank(
    peer: Peer, wanted: types_pb2.Board, *, user_id: str
) -> leaderboard_pb2.GetRankResponse:
    """Where the user stands on the board."""
    request = leaderboard_pb2.GetRankRequest(board=wanted, user_id=user_id)
    async with connected(peer) as channel:
        return await LeaderboardServiceStub(channel).GetRank(request, timeout=CALL_TIMEOUT_S)


def top_table(answer: leaderboard_pb2.GetTopResponse) -> RenderableType:
    """The entries, and that of the user asked for below them."""
    if not answer.entries:
        return Group(_heading(answer.state), Text("Nobody is on this board."))
    table = _entries_table()
    for entry in answer.entries:
        _add_entry(table, entry)
    if answer.HasField("user_entry"):
        table.add_section()
        _add_entry(table, answer.user_entry)
    return Group(_heading(answer.state), table)


def rank_table(user_id: str, answer: leaderboard_pb2.GetRankResponse) -> RenderableType:
    """Where one user stands, or that it is not on the board."""
    if not answer.HasField("entry"):
        return Group(_heading(answer.state), plain(f"{user_id} is not on this board."))
    table = _entries_table()
    table.add_column("ahead of", justify="right")
    table.add_column("to the next rank", justify="right")
    ahead_of = Text(f"{answer.percentile:.1f} %")
    _add_entry(table, answer.entry, ahead_of, number(answer.score_to_next_rank))
    return Group(_heading(answer.state), table)


def _entries_table() -> Table:
    table = Table()
    table.add_column("rank", justify="right")
    table.add_column("user")
    table.add_column("name")
    table.add_column("score", justify="right")
    return table


def _add_entry(table: Table, entry: leaderboard_pb2.Entry, *more: Text) -> None:
    user, name = plain(entry.user_id), plain(entry.display_name)
    table.add_row(number(entry.rank), user, name, number(entry.score), *more)


def _heading(state: leaderboard_pb2.BoardState) -> Text:
    """Which board it is, and what the answer reflects."""
    about = state.board
    window = types_pb2.Window.Name(about.window).removeprefix("WINDOW_").lower().replace("_", " ")
    store = leaderboard_pb2.Source.Name(state.source).removeprefix("SOURCE_")
    parts = [
        one_line(about.metric),
        f"course {one_line(about.course_id)}" if about.course_id else "all courses",
        f"{window} {one_line(about.period)}".strip(),
        f"{state.total_users:,} users",
        f"from {store} at position {state.position.sequence:,}",
    ]
    return Text(" · ".join(parts))
