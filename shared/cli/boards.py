"""`laurel top` and `laurel rank`: reading boards from LeaderboardService."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from shared.cli.calls import CALL_TIMEOUT_S, Peer, connected, one_line
from shared.cli.output import number, plain
from shared.gen.laurel.leaderboard.v1 import leaderboard_pb2 as pb
from shared.gen.laurel.leaderboard.v1.leaderboard_pb2_grpc import LeaderboardServiceStub
from shared.gen.laurel.types.v1 import types_pb2
from shared.identity import Role


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


class ModeChoice(Enum):
    """The rank modes as options."""

    COMPETITION = "competition"
    DENSE = "dense"
    ORDINAL = "ordinal"

    @property
    def rank_mode(self) -> types_pb2.RankMode.ValueType:
        """The rank mode in the contract's words."""
        return types_pb2.RankMode.Value(f"RANK_MODE_{self.name}")


def board(metric: str, course: str, window: WindowChoice, period: str) -> types_pb2.Board:
    """The board that the options name."""
    return types_pb2.Board(metric=metric, course_id=course, window=window.window, period=period)


def board_parts(about: types_pb2.Board) -> list[str]:
    """The board in words: what is counted, in which course, when."""
    window = types_pb2.Window.Name(about.window).removeprefix("WINDOW_").lower().replace("_", " ")
    return [
        one_line(about.metric),
        f"course {one_line(about.course_id)}" if about.course_id else "all courses",
        f"{window} {one_line(about.period)}".strip(),
    ]


async def get_top(peer: Peer, request: pb.GetTopRequest) -> pb.GetTopResponse:
    """A page of a board."""
    async with connected(peer, Role.USER) as channel:
        return await LeaderboardServiceStub(channel).GetTop(request, timeout=CALL_TIMEOUT_S)


async def get_rank(peer: Peer, request: pb.GetRankRequest) -> pb.GetRankResponse:
    """Where one user stands on a board."""
    async with connected(peer, Role.USER) as channel:
        return await LeaderboardServiceStub(channel).GetRank(request, timeout=CALL_TIMEOUT_S)


def top_table(
    answer: pb.GetTopResponse, mode: ModeChoice, also: Sequence[WindowChoice]
) -> RenderableType:
    """The entries, with their scores in the windows `also`, and that of the user asked for."""
    if not answer.entries and not answer.HasField("user_entry"):
        nobody = "The board ends here." if answer.state.total_users else "Nobody is on this board."
        return Group(_heading(answer.state, mode), Text(nobody))
    table = _entries_table()
    for window in also:
        table.add_column(window.value.replace("-", " "), justify="right")
    for entry in answer.entries:
        _add_entry(table, entry, *map(number, entry.also_scores))
    if answer.HasField("user_entry"):
        table.add_section()
        _add_entry(table, answer.user_entry, *map(number, answer.user_entry.also_scores))
    return Group(_heading(answer.state, mode), table)


def rank_table(user_id: str, answer: pb.GetRankResponse, mode: ModeChoice) -> RenderableType:
    """Where one user stands, or that it is not on the board."""
    if not answer.HasField("entry"):
        return Group(_heading(answer.state, mode), plain(f"{user_id} is not on this board."))
    table = _entries_table()
    table.add_column("ahead of", justify="right")
    table.add_column("to the next rank", justify="right")
    ahead_of = Text(f"{answer.percentile:.1f} %")
    _add_entry(table, answer.entry, ahead_of, number(answer.score_to_next_rank))
    return Group(_heading(answer.state, mode), table)


def _entries_table() -> Table:
    table = Table()
    table.add_column("rank", justify="right")
    table.add_column("user")
    table.add_column("name")
    table.add_column("score", justify="right")
    return table


def _add_entry(table: Table, entry: pb.Entry, *more: Text) -> None:
    user, name = plain(entry.user_id), plain(entry.display_name)
    table.add_row(number(entry.rank), user, name, number(entry.score), *more)


def _heading(state: pb.BoardState, mode: ModeChoice) -> Text:
    """Which board it is, how it is ranked if not as usual, and what the answer reflects."""
    store = pb.Source.Name(state.source).removeprefix("SOURCE_")
    parts = [
        *board_parts(state.board),
        f"{state.total_users:,} users",
        f"from {store} at position {state.position.sequence:,}",
    ]
    if mode is not ModeChoice.COMPETITION:
        parts.insert(3, f"{mode.value} ranks")
    return Text(" · ".join(parts))
