"""Large requests from callers who may not send them, or who are nobody: memory stays as it is."""

import asyncio
from subprocess import DEVNULL
from typing import Any

import psutil
import pytest
from grpc import StatusCode, aio

from tests.access import bearer, dial
from tests.service_process import serving

PROGRESS = "laurel.progress.v1.ProgressService"
BODY = bytes(3_900_000)
AT_ONCE = 10
CALLS = 200
MAY_GROW_BYTES = 96 * 2**20
"""Of the last 200 calls, which send eight times as much."""


@pytest.mark.parametrize(
    ("method", "authorization", "code"),
    [
        (f"{PROGRESS}/WatchXpDeltas", "", StatusCode.UNAUTHENTICATED),
        (f"{PROGRESS}/GetUserStats", "Bearer nonsense", StatusCode.UNAUTHENTICATED),
        (f"{PROGRESS}/GetUserStats", bearer("user", "ann"), StatusCode.RESOURCE_EXHAUSTED),
        ("grpc.health.v1.Health/Check", "", StatusCode.RESOURCE_EXHAUSTED),
    ],
    ids=["nobody", "a wrong token", "a user", "nobody, of health"],
)
async def test_what_is_refused_is_not_kept(
    postgres_url: str, method: str, authorization: str, code: StatusCode
) -> None:
    async with serving(
        DEVNULL,
        postgres_url=postgres_url,
        metrics_port="0",
        user_calls_per_second="0",
        user_streams="0",
        log_level="error",
    ) as (process, _):
        service = psutil.Process(process.pid)
        (listens,) = (one for one in service.net_connections() if one.status == "LISTEN")
        async with dial(f"127.0.0.1:{listens.laddr.port}", authorization=authorization) as channel:
            await _send(channel, method, code)
            before = service.memory_info().rss
            await _send(channel, method, code)
            assert service.memory_info().rss <= before + MAY_GROW_BYTES


async def _send(channel: aio.Channel, method: str, code: StatusCode) -> None:
    """Many calls with a large request, all refused."""
    path = f"/{method}"
    streams: Any = channel.unary_stream(path)
    answers: Any = channel.unary_unary(path)
    free = asyncio.Semaphore(AT_ONCE)

    async def one() -> None:
        async with free:
            if method.endswith("WatchXpDeltas"):
                ended: Any = streams(BODY, timeout=30)
            else:
                ended = answers(BODY, timeout=30)
            assert await ended.code() is code, await ended.details()

    await asyncio.gather(*(one() for _ in range(CALLS)))
