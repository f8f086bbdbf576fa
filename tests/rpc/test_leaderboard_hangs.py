"""A Redis that hangs, neither answering nor refusing: what readers wait, and what still ends."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import grpc
import pytest
from grpc import aio

from leaderboard_service.domain.board import Board
from leaderboard_service.domain.question import TopAsk
from leaderboard_service.fallback import Fallback
from shared.embedded.redis import EmbeddedRedis
from shared.errors import DeadlineExceeded, Unavailable
from shared.gen.laurel.leaderboard.v1 import leaderboard_pb2 as pb
from shared.gen.laurel.progress.v1.progress_pb2_grpc import StandingsServiceStub
from shared.periods import Window
from shared.rank_mode import RankMode
from tests.access import open_channel
from tests.leaderboard_app import (
    POSTGRESQL,
    REDIS,
    check_board,
    eventually,
    fill,
    live_client,
    running,
)
from tests.leaderboard_peer import Peer, serve
from tests.signing import SIGNER

READERS = 40


@pytest.fixture
async def redis(tmp_path: Path) -> AsyncIterator[EmbeddedRedis]:
    """A Redis that the test may stop in its tracks."""
    server = EmbeddedRedis(tmp_path, persist=False)
    await asyncio.to_thread(server.start)
    yield server
    os.kill(server.pid, signal.SIGCONT)
    await asyncio.to_thread(server.stop)


async def _filled() -> Peer:
    peer = Peer()
    await fill(peer)
    return peer


async def test_many_queued_reads_of_a_hanging_redis_are_soon_answered_from_postgresql(
    redis: EmbeddedRedis,
) -> None:
    async with live_client(redis.url(), await _filled(), fallback_limit=2 * READERS) as client:
        await check_board(client, source=REDIS)
        os.kill(redis.pid, signal.SIGSTOP)
        began = time.monotonic()
        # Each asks something else and weighs half a script: many reads one after the other.
        answers = await asyncio.gather(
            *(
                client.boards.GetTop(pb.GetTopRequest(page_size=500, user_id=f"u{number}"))
                for number in range(READERS)
            )
        )
        assert time.monotonic() - began < 2.5
        assert {answer.state.source for answer in answers} == {POSTGRESQL}
        os.kill(redis.pid, signal.SIGCONT)

        async def back() -> bool:
            return await check_board(client) == REDIS

        await eventually(back)


async def test_a_callers_deadline_is_kept_while_redis_hangs(redis: EmbeddedRedis) -> None:
    async with live_client(redis.url(), await _filled(), redis_timeout_s=5) as client:
        os.kill(redis.pid, signal.SIGSTOP)
        began = time.monotonic()
        with pytest.raises(aio.AioRpcError) as caught:
            await client.boards.GetTop(pb.GetTopRequest(), timeout=0.2)
        assert caught.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED
        assert time.monotonic() - began < 2


async def test_postgresql_has_as_long_as_the_caller_and_the_settings_allow() -> None:
    peer = await _filled()
    peer.hangs = True
    ask = TopAsk(Board("xp", "", Window.ALL_TIME, ""), RankMode.COMPETITION, 5)
    async with serve(peer) as target, open_channel(target) as channel:
        stub = StandingsServiceStub(channel)
        fallback = Fallback(stub, SIGNER, limit=1, timeout_s=60)
        with pytest.raises(DeadlineExceeded):
            await fallback.top(ask, lambda: 0.0)
        assert peer.list_calls == 0
        with pytest.raises(DeadlineExceeded):
            await fallback.top(ask, lambda: 0.05)
        assert peer.list_calls == 1
        fallback = Fallback(stub, SIGNER, limit=1, timeout_s=0.05)
        for remaining_s in (None, 60.0):
            with pytest.raises(Unavailable) as caught:
                await fallback.top(ask, lambda: remaining_s)  # noqa: B023
            assert caught.value.reason == "BOARDS_UNAVAILABLE"


async def test_the_service_ends_during_a_rebuild_while_redis_hangs(redis: EmbeddedRedis) -> None:
    peer = await _filled()
    hangs = asyncio.Event()

    async def hang() -> None:
        os.kill(redis.pid, signal.SIGSTOP)
        hangs.set()

    peer.during_snapshot = hang
    async with AsyncExitStack() as stack:
        target = await stack.enter_async_context(serve(peer))
        async with running(redis.url(), target):
            async with asyncio.timeout(10):
                await hangs.wait()
            began = time.monotonic()
        assert time.monotonic() - began < 4
