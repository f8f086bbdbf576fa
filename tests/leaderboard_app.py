"""LeaderboardService in this process, beside a small ProgressService, on a real Redis."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from grpc import aio
from redis.asyncio import Redis

from leaderboard_service.composition import LeaderboardApp, now
from leaderboard_service.settings import LeaderboardSettings
from leaderboard_service.watching.schedule import Rhythm
from shared.gen.laurel.leaderboard.v1 import admin_pb2
from shared.gen.laurel.leaderboard.v1 import leaderboard_pb2 as pb
from shared.gen.laurel.leaderboard.v1.admin_pb2_grpc import LeaderboardAdminServiceStub
from shared.gen.laurel.leaderboard.v1.leaderboard_pb2_grpc import LeaderboardServiceStub
from tests import access
from tests.leaderboard_peer import Peer, serve
from tests.ports import free_port

REDIS = pb.SOURCE_REDIS
POSTGRESQL = pb.SOURCE_POSTGRESQL


@dataclass
class Client:
    """A connection to a running service, and the history behind it."""

    boards: LeaderboardServiceStub
    admin: LeaderboardAdminServiceStub
    peer: Peer
    channel: aio.Channel

    async def status(self) -> admin_pb2.GetStatusResponse:
        return await self.admin.GetStatus(admin_pb2.GetStatusRequest(), timeout=5)

    async def live(self) -> None:
        """Waits until the boards in Redis hold the whole history."""
        await eventually(self._is_live)

    async def live_at(self, sequence: int) -> None:
        """Waits until the boards that are read have reached a position."""

        async def reached() -> bool:
            return (await self.status()).applied.sequence >= sequence

        await eventually(reached)

    async def _is_live(self) -> bool:
        status = await self.status()
        return (
            status.state == admin_pb2.GetStatusResponse.STATE_LIVE
            and status.applied == self.peer.position
        )


async def eventually(check: Callable[[], Awaitable[bool]], timeout_s: float = 15.0) -> None:
    """Waits for a condition; AssertionError when it does not come true in time."""
    give_up = time.monotonic() + timeout_s
    while not await check():
        assert time.monotonic() < give_up, "it did not come true in time"
        await asyncio.sleep(0.01)


@asynccontextmanager
async def direct(redis_url: str) -> AsyncIterator[Redis]:
    """A connection to the Redis of the service, to see and to spoil what is there."""
    redis = Redis.from_url(redis_url, decode_responses=True)
    try:
        yield redis
    finally:
        await redis.aclose()


@asynccontextmanager
async def running(
    redis_url: str,
    progress: str,
    *,
    now: Callable[[], datetime] = now,
    rhythm: Rhythm | None = None,
    **settings: Any,
) -> AsyncIterator[LeaderboardApp]:
    """The service, without waiting for anything."""
    given = {"leaderboard_port": free_port(), "drain_seconds": 1, **settings}
    app = LeaderboardApp(
        LeaderboardSettings(redis_url=redis_url, progress_address=progress, **given), now, rhythm
    )
    stop = asyncio.Event()
    task = asyncio.create_task(app.run(stop))
    try:
        yield app
    finally:
        stop.set()
        await task


@asynccontextmanager
async def dial(app: LeaderboardApp) -> AsyncIterator[aio.Channel]:
    """A channel to a service that may not listen yet: it tries again soon."""
    options = [("grpc.initial_reconnect_backoff_ms", 20), ("grpc.min_reconnect_backoff_ms", 20)]
    target = f"127.0.0.1:{app.server.port}"
    async with access.dial(target, options) as channel:
        await channel.channel_ready()
        yield channel


@asynccontextmanager
async def connected(app: LeaderboardApp, peer: Peer) -> AsyncIterator[Client]:
    async with dial(app) as channel:
        yield Client(
            LeaderboardServiceStub(channel), LeaderboardAdminServiceStub(channel), peer, channel
        )


@asynccontextmanager
async def live_client(
    redis_url: str, peer: Peer | None = None, **settings: Any
) -> AsyncIterator[Client]:
    """A service that has applied the peer's whole history."""
    async with AsyncExitStack() as stack:
        peer = peer or Peer()
        target = await stack.enter_async_context(serve(peer))
        app = await stack.enter_async_context(running(redis_url, target, **settings))
        client = await stack.enter_async_context(connected(app, peer))
        await client.live()
        yield client


async def check_board(client: Client, *, source: int | None = None) -> int:
    """The board is right at once; the source that it came from."""
    top = await client.boards.GetTop(pb.GetTopRequest(), timeout=5)
    expected = [(e.rank, e.user_id, e.score) for e in client.peer.board("xp//all_time/")]
    assert [(e.rank, e.user_id, e.score) for e in top.entries] == expected
    assert source in (None, top.state.source)
    return top.state.source


async def fill(peer: Peer) -> None:
    for number, user in enumerate("abcdef"):
        await peer.profile(user, name=user.upper())
        await peer.credit(user, 10 + number)
