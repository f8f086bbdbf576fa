"""More calls at once than a process takes: the next is refused at once, an operator is not."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest
from grpc import aio
from grpc_health.v1 import health_pb2, health_pb2_grpc
from prometheus_client import REGISTRY

from progress_service.settings import ProgressSettings
from shared.errors import ResourceExhausted
from shared.gen.laurel.progress.v1 import admin_pb2, progress_pb2
from tests.access import as_role
from tests.conftest import running_progress
from tests.progress import Progress, award, eventually, held, level, refused, submission

CALLS = 3
STREAMS = 2
RATE = 1


@pytest.fixture
async def small(postgres_url: str) -> AsyncIterator[Progress]:
    """A service that takes few calls at once, and one in a second of a user."""
    settings = ProgressSettings(
        postgres_url=postgres_url,
        drain_seconds=0.5,
        max_concurrent_calls=CALLS,
        max_streams=STREAMS,
        user_calls_per_second=RATE,
    )
    async with running_progress(settings) as running:
        await running.put_users("ann", "bob")
        await running.put_course("c", level("l1"))
        yield running


def figure(name: str, what: str) -> float:
    return REGISTRY.get_sample_value(name, {"what": what}) or 0.0


def busy() -> float:
    return REGISTRY.get_sample_value("laurel_exhausted_total", {"reason": "SERVER_BUSY"}) or 0.0


@asynccontextmanager
async def full(progress: Progress) -> AsyncIterator[None]:
    """As many submissions as there may be are under way, for the length of the block."""
    shop = as_role("service", "shop")
    async with held(progress, "ann"):
        calls = [
            asyncio.ensure_future(progress.progress.SubmitProgress(submission("ann", "l1"), **shop))
            for _ in range(CALLS)
        ]

        async def all_under_way() -> bool:
            return figure("laurel_under_way", "calls") == CALLS

        await eventually(all_under_way, "the calls are under way")
        yield
    assert len(await asyncio.gather(*calls)) == CALLS


async def test_the_next_call_is_refused_at_once_whoever_makes_it(small: Progress) -> None:
    shed = busy()
    async with full(small):
        for who in (as_role("service", "shop"), as_role("service", "bank"), as_role("user", "bob")):
            async with refused(ResourceExhausted, "SERVER_BUSY") as errors, asyncio.timeout(5):
                await small.progress.AwardXp(award("bob", 1), **who)
            assert errors[0].metadata == {"bound": str(CALLS), "of": "calls"}
            assert errors[0].retry_delay_s is not None
    assert busy() == shed + 3
    assert figure("laurel_under_way_bound", "calls") == CALLS
    # What was refused was not done, and there is room again.
    assert await small.totals("bob") == {"xp": 0}
    await small.progress.AwardXp(award("bob", 1), **as_role("service", "shop"))
    assert figure("laurel_under_way", "calls") == 0


async def test_an_operator_and_a_health_check_get_through(small: Progress) -> None:
    async with full(small), asyncio.timeout(5):
        status = await small.admin.GetStatus(admin_pb2.GetStatusRequest())
        assert status.HasField("head")
        health = health_pb2_grpc.HealthStub(small.channel)
        assert (await health.Check(health_pb2.HealthCheckRequest())).status == 1


async def test_streams_are_counted_apart_and_end_when_they_are_let_go(small: Progress) -> None:
    shop = as_role("service", "shop")
    request = progress_pb2.WatchXpDeltasRequest()
    streams = [small.progress.WatchXpDeltas(request, **shop) for _ in range(STREAMS)]
    for stream in streams:
        await stream.read()
    async with refused(ResourceExhausted, "SERVER_BUSY") as errors:
        await small.progress.WatchXpDeltas(request, **shop).read()
    assert errors[0].metadata == {"bound": str(STREAMS), "of": "streams"}
    await small.progress.AwardXp(award("bob", 1), **shop)
    streams[0].cancel()

    async def has_room() -> bool:
        stream = small.progress.WatchXpDeltas(request, **shop)
        try:
            await stream.read()
        except aio.AioRpcError:
            return False
        stream.cancel()
        return True

    await eventually(has_room, "there is room for another stream")
    streams[1].cancel()


async def test_refusals_that_are_held_back_take_no_place_from_others(small: Progress) -> None:
    request = progress_pb2.GetUserStatsRequest(user_id="bob")
    greedy = as_role("user", "bob")
    for _ in range(2 * RATE):
        await small.progress.GetUserStats(request, **greedy)
    async with AsyncExitStack() as stack:
        for _ in range(2 * CALLS):
            call = asyncio.ensure_future(small.progress.GetUserStats(request, **greedy))
            stack.push_async_callback(asyncio.wait, {call})

        async def all_wait() -> bool:
            return small.app.server._gate._limits._paused == 2 * CALLS

        await eventually(all_wait, "the refusals are held back")
        assert figure("laurel_under_way", "calls") == 0
        await small.progress.GetUserStats(request, **as_role("service", "shop"))


async def test_calls_whose_request_does_not_come_take_no_place_from_others(
    small: Progress,
) -> None:
    method: Any = small.channel.stream_unary("/laurel.progress.v1.ProgressService/GetUserStats")
    metadata = as_role("service", "slow")["metadata"]
    calls = [method(metadata=metadata) for _ in range(2 * CALLS)]
    limits = small.app.server._gate._limits

    async def all_wait() -> bool:
        return sum(usage.calls for usage in limits._usages.values()) == 2 * CALLS

    await eventually(all_wait, "the calls wait for their requests")
    assert figure("laurel_under_way", "calls") == 0
    assert await small.totals("bob") == {"xp": 0}
    for call in calls:
        call.cancel()
