"""Readers that write down every answer about boards, and what SQL says at its position."""

import asyncio
import random
from collections import Counter
from collections.abc import Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from grpc import aio

from shared.gen.laurel.leaderboard.v1 import leaderboard_pb2 as pb
from shared.gen.laurel.leaderboard.v1.leaderboard_pb2_grpc import LeaderboardServiceStub
from shared.gen.laurel.types.v1 import types_pb2
from shared.status import error_from_rpc
from tests.history_fold import BoardName, Folded, name_of, watched
from tests.progress import Progress

Row = tuple[int, str, int]
"""Rank, user, score."""
MODES = (
    types_pb2.RANK_MODE_COMPETITION,
    types_pb2.RANK_MODE_DENSE,
    types_pb2.RANK_MODE_ORDINAL,
)


def rows(entries: Sequence[pb.Entry]) -> list[Row]:
    return [(one.rank, one.user_id, one.score) for one in entries]


def in_mode(listed: list[Row], mode: int) -> list[Row]:
    """A board in competition ranks, numbered otherwise."""
    if mode == types_pb2.RANK_MODE_ORDINAL:
        return [(place, user, score) for place, (_, user, score) in enumerate(listed, 1)]
    if mode == types_pb2.RANK_MODE_DENSE:
        scores = sorted({score for _, _, score in listed}, reverse=True)
        return [(1 + scores.index(score), user, score) for _, user, score in listed]
    return listed


@dataclass
class Answer:
    """What was asked, and what was answered."""

    kind: str
    request: Any
    response: Any

    @property
    def sequence(self) -> int:
        return int(self.response.state.position.sequence)

    def check(self, listed: list[Row]) -> None:
        """Fails unless it is what follows from the whole board at its position."""
        board = in_mode(listed, self.request.rank_mode)
        response = self.response
        assert response.state.total_users == len(board), self
        getattr(self, f"_{self.kind}")(board)

    def _top(self, board: list[Row]) -> None:
        size = self.request.page_size
        assert rows(self.response.entries) == board[:size], self
        assert bool(self.response.next_page_token) == (len(board) > size), self

    def _rank(self, board: list[Row]) -> None:
        found = [row for row in board if row[1] == self.request.user_id]
        entry = self.response.entry if self.response.HasField("entry") else None
        assert rows([entry] if entry else []) == found, self
        if found:
            higher = [score for _, _, score in board if score > found[0][2]]
            gap = min(higher) - found[0][2] if higher else 0
            assert self.response.score_to_next_rank == gap, self

    def _around(self, board: list[Row]) -> None:
        users = [row[1] for row in board]
        if self.request.user_id not in users:
            assert not self.response.entries, self
            return
        count, index = self.request.count, users.index(self.request.user_id)
        first = max(min(index - count // 2, len(board) - count), 0)
        assert rows(self.response.entries) == board[first : first + count], self

    def _batch(self, board: list[Row]) -> None:
        found = [row for row in board if row[1] in self.request.user_ids]
        assert rows(self.response.entries) == found, self


@dataclass
class Readers:
    """Ask for boards at random, some at once, and keep what they are told."""

    stub: LeaderboardServiceStub
    boards: Sequence[types_pb2.Board]
    users: Sequence[str]
    random: random.Random
    answers: list[Answer] = field(default_factory=list)
    errors: Counter[str] = field(default_factory=Counter)

    @asynccontextmanager
    async def reading(self, count: int = 4) -> Any:
        """Reads until the block ends."""
        tasks = [asyncio.create_task(self._read()) for _ in range(count)]
        try:
            yield self
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    @property
    def sources(self) -> Counter[int]:
        return Counter(answer.response.state.source for answer in self.answers)

    async def _read(self) -> None:
        while True:
            kind, request, method = self._question()
            try:
                response = await method(request, timeout=10)
            except aio.AioRpcError as error:
                self.errors[error_from_rpc(error).reason] += 1
            else:
                self.answers.append(Answer(kind, request, response))

    def _question(self) -> tuple[str, Any, Any]:
        fields: dict[str, Any] = {
            "board": self.random.choice(self.boards),
            "rank_mode": self.random.choice(MODES),
        }
        user = self.random.choice(self.users)
        match self.random.randrange(4):
            case 0:
                size = self.random.choice([1, 3, 10, 500])
                return "top", pb.GetTopRequest(page_size=size, **fields), self.stub.GetTop
            case 1:
                return "rank", pb.GetRankRequest(user_id=user, **fields), self.stub.GetRank
            case 2:
                around = pb.GetAroundRequest(user_id=user, count=5, **fields)
                return "around", around, self.stub.GetAround
            case _:
                batch = pb.BatchGetRanksRequest(user_ids=self.users[:7], **fields)
                return "batch", batch, self.stub.BatchGetRanks

    async def check(self, progress: Progress) -> int:
        """Every answer equals what SQL's history comes to at the position that it states; how
        many there were.
        """
        changes = await watched(progress, max(answer.sequence for answer in self.answers))
        folded, lists = Folded(), dict[BoardName, list[Row]]()
        for answer in sorted(self.answers, key=lambda answer: answer.sequence):
            while folded.sequence < answer.sequence:
                folded.apply(changes[folded.sequence])
                lists.clear()
            name = name_of(answer.response.state.board)
            if name not in lists:
                lists[name] = folded.listed(name)
            answer.check(lists[name])
        return len(self.answers)
