"""Peers that stand for LeaderboardService in the commands' tests: real gRPC servers whose answers a
test writes down.
"""

import asyncio
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import grpc
from grpc import aio
from grpc_health.v1 import health_pb2_grpc

from shared.errors import LaurelError
from shared.gen.laurel.leaderboard.v1 import (
    admin_pb2,
    admin_pb2_grpc,
    leaderboard_pb2,
    leaderboard_pb2_grpc,
)
from shared.gen.laurel.types.v1 import types_pb2
from tests.unit.cli_peer import Health, Register, abort_with

NEXT_PAGE = "a-token" * 40


class BoardPeer(leaderboard_pb2_grpc.LeaderboardServiceServicer):
    """Answers every board with the same entries, or with an error; remembers the requests."""

    def __init__(
        self,
        entries: list[leaderboard_pb2.Entry] | None = None,
        *,
        failure: LaurelError | None = None,
        raw_failure: grpc.StatusCode | None = None,
    ) -> None:
        self.entries = entries or []
        self.failure = failure
        self.raw_failure = raw_failure
        self.requests: list[Any] = []

    async def _asked(self, request: Any, context: Any) -> leaderboard_pb2.BoardState:
        self.requests.append(request)
        if self.failure is not None:
            await abort_with(context, self.failure)
        if self.raw_failure is not None:
            await context.abort(self.raw_failure, "from a proxy")
        return leaderboard_pb2.BoardState(
            board=request.board,
            total_users=len(self.entries),
            source=leaderboard_pb2.SOURCE_REDIS,
            position=types_pb2.Position(epoch="e", sequence=1234),
        )

    async def GetTop(
        self, request: leaderboard_pb2.GetTopRequest, context: Any
    ) -> leaderboard_pb2.GetTopResponse:
        state = await self._asked(request, context)
        mine = [entry for entry in self.entries if entry.user_id == request.user_id]
        more = len(self.entries) > request.page_size
        return leaderboard_pb2.GetTopResponse(
            entries=self.entries[: request.page_size],
            next_page_token=NEXT_PAGE if more else "",
            user_entry=mine[0] if mine else None,
            state=state,
        )

    async def GetRank(
        self, request: leaderboard_pb2.GetRankRequest, context: Any
    ) -> leaderboard_pb2.GetRankResponse:
        state = await self._asked(request, context)
        mine = [entry for entry in self.entries if entry.user_id == request.user_id]
        if not mine:
            return leaderboard_pb2.GetRankResponse(state=state)
        return leaderboard_pb2.GetRankResponse(
            entry=mine[0], percentile=66.7, score_to_next_rank=20, state=state
        )


class HangingPeer(leaderboard_pb2_grpc.LeaderboardServiceServicer):
    """Never answers; `asked` is set when it could have."""

    def __init__(self) -> None:
        self.asked = threading.Event()

    async def GetTop(
        self, request: leaderboard_pb2.GetTopRequest, context: Any
    ) -> leaderboard_pb2.GetTopResponse:
        self.asked.set()
        await asyncio.Event().wait()
        raise AssertionError


class LeaderboardAdminPeer(admin_pb2_grpc.LeaderboardAdminServiceServicer):
    """Answers `status`, whose answers from Redis grow by `step` with every call; or, while
    `hangs`, nothing.
    """

    def __init__(self, status: admin_pb2.GetStatusResponse, step: int = 0) -> None:
        self.status = status
        self.step = step
        self.hangs = False

    async def GetStatus(
        self, request: admin_pb2.GetStatusRequest, context: Any
    ) -> admin_pb2.GetStatusResponse:
        if self.hangs:
            await asyncio.Event().wait()
        self.status.answers_from_redis += self.step
        return self.status


def leaderboard_admin_service(peer: LeaderboardAdminPeer, health: str = "SERVING") -> Register:
    """This health, and the peer."""

    def add(server: aio.Server) -> None:
        health_pb2_grpc.add_HealthServicer_to_server(Health(health), server)
        admin_pb2_grpc.add_LeaderboardAdminServiceServicer_to_server(peer, server)

    return add


@dataclass(frozen=True)
class Stream:
    """What one call answers, and how it ends: well, or with an error, or with a bare status as
    from what lies between, or not at all.
    """

    answers: Sequence[Any] = ()
    failure: LaurelError | grpc.StatusCode | None = None
    hangs: bool = False


class BoardStreamPeer(admin_pb2_grpc.LeaderboardAdminServiceServicer):
    """Answers one call after the other as written down, further ones like the last; remembers
    the requests. `hanging` is set when a call has said all that it has to say, and hangs.
    """

    def __init__(self, *streams: Stream) -> None:
        self.streams = streams
        self.requests: list[Any] = []
        self.hanging = threading.Event()

    async def _answer(self, request: Any, context: aio.ServicerContext[Any, Any]) -> None:
        self.requests.append(request)
        stream = self.streams[min(len(self.requests), len(self.streams)) - 1]
        for answer in stream.answers:
            await context.write(answer)
        if isinstance(stream.failure, LaurelError):
            await abort_with(context, stream.failure)
        if isinstance(stream.failure, grpc.StatusCode):
            await context.abort(stream.failure, "Socket closed")
        if stream.hangs:
            self.hanging.set()
            await asyncio.Event().wait()

    async def RebuildBoards(self, request: Any, context: Any) -> None:
        await self._answer(request, context)

    async def VerifyBoards(self, request: Any, context: Any) -> None:
        await self._answer(request, context)
