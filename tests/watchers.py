"""Watchers of the boards of a running service, read one message at a time."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, TypeVar

from grpc import aio

from leaderboard_service import composition
from leaderboard_service.composition import LeaderboardApp
from leaderboard_service.watching.schedule import Rhythm
from shared.errors import LaurelError
from shared.gen.laurel.leaderboard.v1 import leaderboard_pb2 as pb
from shared.gen.laurel.types.v1 import types_pb2
from shared.status import error_from_rpc
from tests.leaderboard_app import Client, connected, eventually, running
from tests.leaderboard_peer import Peer, serve

MessageT = TypeVar("MessageT", pb.WatchTopResponse, pb.WatchRankResponse)

# What is not told by the follower is not found out within the time of a test.
TOLD = Rhythm(poll_s=600, keep_alive_s=600, look_s=600)


class Watcher(Generic[MessageT]):
    """One stream. Each message that is read is no older than the one before."""

    def __init__(self, call: Any) -> None:
        self.call = call
        self.sequence = 0

    async def read(self, within_s: float = 15) -> MessageT:
        """The next message."""
        async with asyncio.timeout(within_s):
            message: MessageT = await self.call.read()
        assert message is not aio.EOF
        assert message.state.position.sequence >= self.sequence
        self.sequence = message.state.position.sequence
        return message

    async def until(self, check: Callable[[MessageT], bool]) -> list[MessageT]:
        """Every message up to the first for which it holds."""
        messages = [await self.read()]
        while not check(messages[-1]):
            messages.append(await self.read())
        return messages

    async def end(self) -> LaurelError:
        """What the stream ends with, whatever it says before."""
        while True:
            try:
                await self.read()
            except aio.AioRpcError as error:
                return error_from_rpc(error)


@dataclass
class Scene:
    """A service that is live, and the history behind it."""

    app: LeaderboardApp
    client: Client

    @property
    def peer(self) -> Peer:
        return self.client.peer

    def top(self, count: int = 0, **board: Any) -> Watcher[pb.WatchTopResponse]:
        request = pb.WatchTopRequest(board=types_pb2.Board(**board), count=count)
        return Watcher(self.client.boards.WatchTop(request))

    def rank(self, user_id: str, **board: Any) -> Watcher[pb.WatchRankResponse]:
        request = pb.WatchRankRequest(board=types_pb2.Board(**board), user_id=user_id)
        return Watcher(self.client.boards.WatchRank(request))

    async def nobody_watches(self) -> None:
        """Waits until nothing is left of any watch."""

        async def none() -> bool:
            loops = [t for t in asyncio.all_tasks() if "WatchedBoard" in repr(t.get_coro())]
            watches = self.app.watches
            return not (watches.open or watches._boards or loops)

        await eventually(none)


def rows(message: pb.WatchTopResponse) -> list[tuple[int, str, int]]:
    """(rank, user, score) of each entry."""
    return [(entry.rank, entry.user_id, entry.score) for entry in message.entries]


@asynccontextmanager
async def watched(
    redis_url: str,
    peer: Peer | None = None,
    *,
    rhythm: Rhythm = TOLD,
    now: Callable[[], datetime] = composition.now,
    **settings: Any,
) -> AsyncIterator[Scene]:
    """A service that has applied the peer's whole history; at the end nothing is left of any
    watch.
    """
    async with AsyncExitStack() as stack:
        peer = peer or Peer()
        target = await stack.enter_async_context(serve(peer))
        app = await stack.enter_async_context(
            running(redis_url, target, rhythm=rhythm, now=now, **settings)
        )
        client = await stack.enter_async_context(connected(app, peer))
        await client.live()
        yield Scene(app, client)
