"""A flood from one caller: it is held to its bounds, and nobody else pays for it."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from subprocess import DEVNULL

from grpc import StatusCode, aio

from shared.gen.laurel.leaderboard.v1 import leaderboard_pb2 as pb
from shared.gen.laurel.leaderboard.v1.leaderboard_pb2_grpc import LeaderboardServiceStub
from shared.gen.laurel.progress.v1.progress_pb2_grpc import ProgressServiceStub
from shared.status import error_from_rpc
from tests.access import bearer, open_channel
from tests.leaderboard_peer import Peer, serve
from tests.ports import free_port
from tests.progress import Progress, eventually, level, submission
from tests.service_process import serving

ROUNDS = 3
SAMPLES = 100
"""Of the other caller, in each half of a round: 40 a second, less than it may."""
EVERY_S = 0.025
FLOODERS = 64
RATE = 50
MOST = 3.0
LEAST_P99_S = 0.01
"""What is quicker than this is noise of a test machine with two processors, not waiting."""

Call = Callable[[], Awaitable[object]]
Record = Callable[[str, object], None]


@dataclass
class Flood:
    """Callers of one subject that call again as soon as they are answered.

    It is under way when each has been refused: at first the caller may use up what it has saved.
    """

    call: Call
    served: int = 0
    refused: int = 0
    seconds: float = 0.0
    reasons: set[str] = field(default_factory=set)

    @asynccontextmanager
    async def under_way(self) -> AsyncIterator[None]:
        async with asyncio.TaskGroup() as tasks:
            callers = [tasks.create_task(self._go_on()) for _ in range(FLOODERS)]
            began, began_with = time.monotonic(), self.refused

            async def all_refused() -> bool:
                return self.refused >= began_with + FLOODERS

            await eventually(all_refused, "the flood is refused")
            try:
                yield
            finally:
                for caller in callers:
                    caller.cancel()
                self.seconds += time.monotonic() - began

    async def _go_on(self) -> None:
        while True:
            try:
                await self.call()
                self.served += 1
            except aio.AioRpcError as error:
                if error.code() is not StatusCode.RESOURCE_EXHAUSTED:
                    raise
                self.refused += 1
                self.reasons.add(error_from_rpc(error).reason)


async def p99_s(call: Call, samples: int = SAMPLES) -> float:
    """Of calls that begin at fixed times, whatever becomes of those before; from those times on."""
    loop = asyncio.get_running_loop()
    began = loop.time()

    async def one(number: int) -> float:
        due = began + number * EVERY_S
        await asyncio.sleep(due - loop.time())
        await call()
        return loop.time() - due

    taken = sorted(await asyncio.gather(*(one(number) for number in range(samples))))
    return taken[int(len(taken) * 0.99) - 1]


async def compared(call: Call, flood: Flood) -> tuple[float, float]:
    """The other caller's p99 without and with the flood: medians of rounds that take turns."""
    await p99_s(call)
    before, during = [], []
    for _ in range(ROUNDS):
        before.append(await p99_s(call))
        async with flood.under_way():
            during.append(await p99_s(call))
    return sorted(before)[ROUNDS // 2], sorted(during)[ROUNDS // 2]


def check(before: float, during: float, flood: Flood, record: Record) -> None:
    """Holds the figures against what was promised."""
    seconds = flood.seconds
    record(
        "measured",
        f"p99 of another caller: {before * 1e3:.1f} ms, beside a flood {during * 1e3:.1f} ms; of "
        f"the flood {flood.served / seconds:.0f}/s served, {flood.refused / seconds:.0f}/s refused",
    )
    assert flood.reasons <= {"TOO_MANY_CALLS", "TOO_MANY_CONCURRENT_CALLS"}
    assert flood.refused > 0
    # In each round the burst, and then the rate.
    assert flood.served <= ROUNDS * 2 * RATE + seconds * RATE * 1.02
    assert during <= MOST * max(before, LEAST_P99_S)


@asynccontextmanager
async def boards(redis_url: str) -> AsyncIterator[str]:
    """LeaderboardService as a process of its own, with a few users on its boards."""
    peer = Peer()
    for number in range(50):
        await peer.profile(f"user{number}")
        await peer.credit(f"user{number}", number + 1)
    async with AsyncExitStack() as stack:
        progress = await stack.enter_async_context(serve(peer))
        port = str(free_port())
        await stack.enter_async_context(
            serving(
                DEVNULL,
                module="leaderboard_service",
                redis_url=redis_url,
                progress_address=progress,
                metrics_port="0",
                leaderboard_port=port,
                user_calls_per_second=str(RATE),
                log_level="error",
            )
        )
        yield f"127.0.0.1:{port}"


async def test_reads_of_another_wait_no_longer(redis_url: str, record_property: Record) -> None:
    async with (
        boards(redis_url) as target,
        open_channel(target, authorization=bearer("user", "ann")) as hers,
        open_channel(target, own_connection=True, authorization=bearer("user", "greedy")) as theirs,
    ):
        mine, others = LeaderboardServiceStub(hers), LeaderboardServiceStub(theirs)
        request = pb.GetRankRequest(user_id="user7")
        flood = Flood(lambda: others.GetRank(request))
        before, during = await compared(lambda: mine.GetRank(request), flood)
    check(before, during, flood, record_property)


async def test_writes_of_another_wait_no_longer(
    progress: Progress, postgres_url: str, record_property: Record
) -> None:
    await progress.put_users("ann", "greedy")
    await progress.put_course("c", level("l1"))
    port = str(free_port())
    async with (
        serving(
            DEVNULL,
            postgres_url=postgres_url,
            metrics_port="0",
            progress_port=port,
            user_calls_per_second=str(RATE),
            max_attempts_per_minute="0",
            max_attempts_per_day="0",
            log_level="error",
        ),
        open_channel(f"127.0.0.1:{port}", authorization=bearer("user", "ann")) as hers,
        open_channel(
            f"127.0.0.1:{port}", own_connection=True, authorization=bearer("user", "greedy")
        ) as theirs,
    ):
        mine, others = ProgressServiceStub(hers), ProgressServiceStub(theirs)
        flood = Flood(lambda: others.SubmitProgress(submission("greedy", "l1")))
        before, during = await compared(lambda: mine.SubmitProgress(submission("ann", "l1")), flood)
    check(before, during, flood, record_property)
