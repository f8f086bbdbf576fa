"""A history in a list and what it comes to by plain sums: what both folds must agree with."""

import asyncio
from collections.abc import Sequence
from datetime import date
from typing import Any
from uuid import uuid4

from google.protobuf.timestamp_pb2 import Timestamp

from leaderboard_service.domain.answer import Entry
from leaderboard_service.domain.board import parse_board_name
from leaderboard_service.domain.fold import Profile
from shared.gen.laurel.progress.v1 import progress_pb2 as pb
from shared.gen.laurel.types.v1 import types_pb2
from shared.periods import Window, period_of
from tests.leaderboard_model import ranking


class History:
    """`credit`, `profile`, `reset`, `erase` and `correct` append; boards go by their names."""

    def __init__(self) -> None:
        self.epoch = str(uuid4())
        self.epochs = {self.epoch, ""}
        self.changes: list[pb.Change] = []
        self.scores: dict[str, dict[str, int]] = {}
        self.profiles: dict[str, Profile] = {}
        self.grown = asyncio.Condition()

    async def credit(
        self, user: str, amount: int, *, excluded: Sequence[str] = (), **fields: Any
    ) -> pb.XpDelta:
        """One XpDelta; by default XP of 2026-11-20."""
        fields = {"metric": "xp", "occurred_date": "2026-11-20", **fields}
        excluded_boards = map(board_message, excluded)
        delta = pb.XpDelta(user_id=user, amount=amount, excluded_boards=excluded_boards, **fields)
        for board in set(boards_of(delta)) - set(excluded):
            scores = self.scores.setdefault(board, {})
            scores[user] = scores.get(user, 0) + amount
        await self.append(pb.Change(xp_delta=delta))
        return delta

    async def profile(self, user: str, name: str = "", *, hidden: bool = False) -> None:
        """One ProfileChange."""
        self.profiles[user] = Profile(name, "", hidden)
        change = pb.ProfileChange(user_id=user, display_name=name, hidden=hidden)
        await self.append(pb.Change(profile_change=change))

    async def reset(self, board: str) -> None:
        """One WindowReset."""
        self.scores.pop(board, None)
        reset = pb.WindowReset(board=board_message(board))
        await self.append(pb.Change(window_reset=reset))

    async def erase(self, user: str) -> None:
        """Redactions where the user's changes stood, and one UserErasure."""
        self.changes = [_redacted(c) if _user(c) == user else c for c in self.changes]
        self.profiles.pop(user, None)
        for scores in self.scores.values():
            scores.pop(user, None)
        await self.append(pb.Change(user_erasure=pb.UserErasure(user_id=user)))

    async def correct(self, board: str, user: str, score: int) -> None:
        """One StandingCorrection."""
        self.scores.setdefault(board, {})[user] = score
        correction = pb.StandingCorrection(board=board_message(board), user_id=user, score=score)
        await self.append(pb.Change(standing_correction=correction))

    async def append(self, change: pb.Change) -> None:
        """Numbers a change, in the moment in which the sums have it, and wakes the watchers."""
        change.sequence = len(self.changes) + 1
        change.numbered_time.CopyFrom(now())
        self.changes.append(change)
        async with self.grown:
            self.grown.notify_all()

    @property
    def position(self) -> types_pb2.Position:
        return types_pb2.Position(epoch=self.epoch, sequence=len(self.changes))

    def message(self, after: int, most: int = 1000) -> pb.WatchXpDeltasResponse:
        """The changes after a sequence, as the stream sends them."""
        batch = self.changes[after : after + most]
        through = types_pb2.Position(epoch=self.epoch, sequence=after + len(batch))
        return pb.WatchXpDeltasResponse(
            changes=batch, through=through, head_sequence=len(self.changes), send_time=now()
        )

    def board(self, name: str) -> list[Entry]:
        """A board as it must be."""
        return ranking(self.scores.get(name, {}), self.profiles)


def boards_of(delta: pb.XpDelta) -> list[str]:
    """The names of the boards that an entry counts on, excluded ones too."""
    day = date.fromisoformat(delta.occurred_date)
    return [
        f"{delta.metric}/{course}/{window.name.lower()}/{period_of(window, day)}"
        for course in {"", delta.course_id}
        for window in map(Window, delta.windows or Window)
    ]


def board_message(name: str) -> types_pb2.Board:
    board = parse_board_name(name)
    return types_pb2.Board(
        metric=board.metric,
        course_id=board.course_id,
        window=types_pb2.Window.ValueType(board.window),
        period=board.period,
    )


def now() -> Timestamp:
    time = Timestamp()
    time.GetCurrentTime()
    return time


def _user(change: pb.Change) -> str:
    kind = change.WhichOneof("kind")
    return getattr(getattr(change, kind), "user_id", "") if kind else ""


def _redacted(change: pb.Change) -> pb.Change:
    return pb.Change(
        sequence=change.sequence, numbered_time=change.numbered_time, redaction=pb.Redaction()
    )
