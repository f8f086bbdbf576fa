"""A thousand watchers of one process, while their board changes all the time."""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from subprocess import DEVNULL
from typing import Any

import psutil
from grpc import aio

from shared.gen.laurel.leaderboard.v1 import leaderboard_pb2 as pb
from tests.access import dial, open_channel
from tests.leaderboard_app import eventually
from tests.leaderboard_peer import Peer, serve
from tests.ports import free_port
from tests.service_process import serving

WATCHERS = 1000
# Of them, so many take their time between two messages.
SLOW, PAUSE_S = 20, 0.7
# What a client lets arrive before it is asked for counts as taken: they let little arrive.
LITTLE_AHEAD = [
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.http2.lookahead_bytes", 1024),
    ("grpc.http2.bdp_probe", 0),
]
CHANNELS = 8
CHANGES_PER_S = 500
WARM_UP_S, SECONDS = 4, 8
USERS = 200
ALL_TIME = "xp//all_time/"
WATCH_TOP = "/laurel.leaderboard.v1.LeaderboardService/WatchTop"


@dataclass
class Watcher:
    """Keeps the last message and takes it apart only when asked: a thousand share one process."""

    call: Any
    pause_s: float
    last: bytes = b""
    messages: int = 0

    async def read(self) -> None:
        while (message := await self.call.read()) is not aio.EOF:
            self.last = message
            self.messages += 1
            if self.pause_s:
                await asyncio.sleep(self.pause_s)

    def rows(self) -> list[tuple[int, str, int]]:
        entries = pb.WatchTopResponse.FromString(self.last).entries
        return [(entry.rank, entry.user_id, entry.score) for entry in entries]


@dataclass
class Crowd:
    """All watchers, the history that they see, and the process that they watch."""

    peer: Peer
    service: psutil.Process
    watchers: list[Watcher]

    async def change(self, seconds: float) -> None:
        """Credits at a steady rate, so that the top is never the same for long."""
        chance = random.Random(5)
        began, done = time.monotonic(), 0
        while (passed := time.monotonic() - began) < seconds:
            while done < passed * CHANGES_PER_S:
                await self.peer.credit(f"u{chance.randrange(USERS)}", chance.randrange(1, 50))
                done += 1
            await asyncio.sleep(0.005)

    async def all_have(self, rows: list[tuple[int, str, int]], *, slow: bool = True) -> None:
        """Waits until everyone's last message shows them, or everyone's but the slow ones'."""

        async def have() -> bool:
            return all(
                watcher.rows() == rows for watcher in self.watchers if slow or not watcher.pause_s
            )

        await eventually(have, 60)

    @property
    def messages(self) -> int:
        return sum(watcher.messages for watcher in self.watchers)

    @property
    def cpu_s(self) -> float:
        times = self.service.cpu_times()
        return times.user + times.system

    @property
    def memory(self) -> int:
        return self.service.memory_info().rss


def _watch(channel: aio.Channel, pause_s: float = 0) -> Watcher:
    ask: Any = channel.unary_stream(WATCH_TOP)
    return Watcher(ask(b""), pause_s)


@asynccontextmanager
async def crowded(redis_url: str) -> AsyncIterator[Crowd]:
    """The service as a process of its own, with all watchers connected."""
    peer = Peer()
    for number in range(USERS):
        await peer.credit(f"u{number}", 1 + number)
    port = str(free_port())
    async with AsyncExitStack() as stack:
        target = await stack.enter_async_context(serve(peer))
        process, _ = await stack.enter_async_context(
            serving(
                DEVNULL,
                module="leaderboard_service",
                redis_url=redis_url,
                progress_address=target,
                metrics_port="0",
                leaderboard_port=port,
                log_level="error",
            )
        )
        address = f"127.0.0.1:{port}"
        slow = await stack.enter_async_context(dial(address, LITTLE_AHEAD))
        channels = [
            await stack.enter_async_context(open_channel(address, own_connection=True))
            for _ in range(CHANNELS)
        ]
        watchers = [_watch(slow, PAUSE_S) for _ in range(SLOW)]
        watchers += [_watch(channels[n % CHANNELS]) for n in range(WATCHERS - SLOW)]
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(watcher.read()) for watcher in watchers]
            yield Crowd(peer, psutil.Process(process.pid), watchers)
            for task in tasks:
                task.cancel()


async def test_a_thousand_watchers_see_the_final_state_and_cost_no_memory(
    redis_url: str, record_property: Callable[[str, object], None]
) -> None:
    async with crowded(redis_url) as crowd:
        await crowd.all_have(_top(crowd.peer))
        await crowd.change(WARM_UP_S)
        memory, cpu_s, messages = crowd.memory, crowd.cpu_s, crowd.messages
        began = time.monotonic()
        await crowd.change(SECONDS)
        seconds = time.monotonic() - began
        messages = crowd.messages - messages
        cpu_s = crowd.cpu_s - cpu_s
        grown = crowd.memory - memory
        await crowd.all_have(_top(crowd.peer), slow=False)
        late_s = time.monotonic() - began - seconds
        await crowd.all_have(_top(crowd.peer))
        record_property(
            "measured",
            f"{WATCHERS} watchers, {CHANGES_PER_S} changes/s for {seconds:.0f} s:"
            f" {messages / seconds:,.0f} messages/s, {cpu_s / seconds:.0%} of a core,"
            f" memory {memory / 2**20:.0f} MiB {grown / 2**20:+.1f} MiB,"
            f" all but {SLOW} slow ones on the final state {late_s:.2f} s after the last change",
        )
        assert grown < 8 * 2**20
        # About 8 times a second each; far fewer would mean that they are told too late.
        assert messages > 2 * WATCHERS * seconds
        assert messages < 11 * WATCHERS * seconds


def _top(peer: Peer) -> list[tuple[int, str, int]]:
    return [(entry.rank, entry.user_id, entry.score) for entry in peer.board(ALL_TIME)[:10]]
