"""Peers for the commands' tests: real gRPC servers whose answers a test writes down."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Container, Iterator
from contextlib import contextmanager
from typing import Any

import grpc
from grpc import aio
from grpc_health.v1 import health_pb2, health_pb2_grpc

from shared.errors import LaurelError
from shared.gen.laurel.leaderboard.v1 import (
    admin_pb2 as leaderboard_admin,
)
from shared.gen.laurel.leaderboard.v1 import (
    admin_pb2_grpc as leaderboard_admin_grpc,
)
from shared.gen.laurel.leaderboard.v1 import leaderboard_pb2, leaderboard_pb2_grpc
from shared.gen.laurel.progress.v1 import admin_pb2 as progress_admin
from shared.gen.laurel.progress.v1 import admin_pb2_grpc as progress_admin_grpc
from shared.gen.laurel.types.v1 import types_pb2
from shared.status import DETAILS_KEY, status_of

START_TIMEOUT_S = 10


async def abort_with(context: aio.ServicerContext[Any, Any], error: LaurelError) -> None:
    """Fail the call as the services fail one."""
    status = status_of(error)
    code = next(code for code in grpc.StatusCode if code.value[0] == status.code)
    metadata = ((DETAILS_KEY, status.SerializeToString()),)
    await context.abort(code, error.message, metadata)


class Health(health_pb2_grpc.HealthServicer):
    """Answers one status for everything."""

    def __init__(self, status: str = "SERVING") -> None:
        self.status = status

    async def Check(
        self, request: health_pb2.HealthCheckRequest, context: Any
    ) -> health_pb2.HealthCheckResponse:
        return health_pb2.HealthCheckResponse(status=self.status)


class ImportPeer(progress_admin_grpc.ProgressAdminServiceServicer):
    """Counts what it is sent: attempts without a score and users of `rejects` are rejected, all
    else is recorded and stored.

    After `fails_after` messages the call fails with `failure`, or ends if that is None. Answers
    are held back until `holds` messages have come in, to see how many the caller sends ahead.
    """

    def __init__(
        self,
        *,
        fails_after: int | None = None,
        failure: LaurelError | None = None,
        holds: int = 0,
        rejects: Container[str] = (),
    ) -> None:
        self.messages: list[progress_admin.ImportProgressRequest] = []
        self.most_ahead = 0
        self._fails_after = fails_after
        self._failure = failure
        self._holds = holds
        self._rejects = rejects

    async def ImportProgress(
        self,
        request_iterator: AsyncIterator[progress_admin.ImportProgressRequest],
        context: aio.ServicerContext[Any, Any],
    ) -> None:
        counts = progress_admin.ImportProgressResponse()
        held: list[progress_admin.ImportProgressResponse] = []
        async for message in request_iterator:
            self.messages.append(message)
            held.append(self._answer(counts, message))
            if self._fails_after == len(self.messages):
                if self._failure is not None:
                    await abort_with(context, self._failure)
                return
            self.most_ahead = max(self.most_ahead, len(held))
            if len(held) >= self._holds:
                await context.write(held.pop(0))
        for answer in held:
            await context.write(answer)

    def _answer(
        self,
        counts: progress_admin.ImportProgressResponse,
        message: progress_admin.ImportProgressRequest,
    ) -> progress_admin.ImportProgressResponse:
        errors = [
            progress_admin.ImportError(
                index=counts.users.received + n,
                item=f"users[{n}]",
                reason="INVALID_FIELD",
                message="user.user_id: is rejected here",
            )
            for n, user in enumerate(message.users)
            if user.user_id in self._rejects
        ]
        counts.users.received += len(message.users)
        counts.users.rejected += len(errors)
        counts.users.stored = counts.users.received - counts.users.rejected
        counts.courses.received += len(message.courses)
        counts.courses.stored += len(message.courses)
        for n, item in enumerate(message.attempts):
            if item.attempt.HasField("correct_answers"):
                counts.recorded += 1
                counts.xp_credited += 0 if item.without_xp else 50
            else:
                problem = progress_admin.ImportError(
                    index=counts.received,
                    item=f"attempts[{n}]",
                    request_id=item.attempt.request_id,
                    reason="INVALID_SCORE",
                    message="correct_answers is not set",
                )
                errors.append(problem)
                counts.rejected += 1
            counts.received += 1
        answer = progress_admin.ImportProgressResponse()
        answer.CopyFrom(counts)
        answer.errors.extend(errors)
        return answer

    async def GetStatus(
        self, request: progress_admin.GetStatusRequest, context: Any
    ) -> progress_admin.GetStatusResponse:
        head = types_pb2.Position(epoch="e", sequence=12)
        return progress_admin.GetStatusResponse(head=head, users=3, version="0.1.0")


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
        return leaderboard_pb2.GetTopResponse(
            entries=self.entries[: request.page_size],
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


class LeaderboardAdminPeer(leaderboard_admin_grpc.LeaderboardAdminServiceServicer):
    """Says that it is live."""

    async def GetStatus(
        self, request: leaderboard_admin.GetStatusRequest, context: Any
    ) -> leaderboard_admin.GetStatusResponse:
        return leaderboard_admin.GetStatusResponse(
            state=leaderboard_admin.GetStatusResponse.STATE_LIVE, head_sequence=12
        )


@contextmanager
def serving(*register: Callable[[aio.Server], None]) -> Iterator[str]:
    """A server on a free port of loopback, in a thread of its own; yields its address."""
    started, address = threading.Event(), [""]
    loop = asyncio.new_event_loop()
    stop = asyncio.Event()

    async def serve() -> None:
        server = aio.server()
        for add in register:
            add(server)
        address[0] = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
        await server.start()
        started.set()
        await stop.wait()
        await server.stop(None)

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()), daemon=True)
    thread.start()
    try:
        if not started.wait(START_TIMEOUT_S):
            raise TimeoutError("the peer did not start")
        yield address[0]
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(START_TIMEOUT_S)
        loop.close()
