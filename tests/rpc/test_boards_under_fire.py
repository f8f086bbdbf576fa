"""What readers are told while Redis is killed, emptied, put back to the past or fails over, and
writers go on: every answer is what SQL says at the position that the answer states.
"""

import asyncio
import random
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from shared.embedded.redis import EmbeddedRedis
from shared.gen.laurel.leaderboard.v1 import leaderboard_pb2 as pb
from shared.gen.laurel.progress.v1 import admin_pb2
from shared.gen.laurel.types.v1 import types_pb2
from shared.periods import Window
from tests.board_readers import Readers
from tests.leaderboard_app import POSTGRESQL, REDIS, dial, direct, running
from tests.pair import Pair
from tests.pair_acts import hide, period, reset
from tests.progress import Progress, eventually, level
from tests.redis_cluster import TestCluster

USERS = tuple(f"u{number}" for number in range(40))
ALL_TIME = types_pb2.Board(metric="xp", window=types_pb2.WINDOW_ALL_TIME)
WEEK = types_pb2.Board(metric="xp", window=types_pb2.WINDOW_WEEK, period=period(Window.WEEK))
OF_COURSE = types_pb2.Board(metric="xp", course_id="c", window=types_pb2.WINDOW_ALL_TIME)

Fault = Callable[[], Awaitable[None]]


async def _write(progress: Progress, seed: int) -> None:
    """Awards, and now and then a user who hides or shows, or a board that begins again."""
    chance = random.Random(seed)
    while True:
        user = chance.choice(USERS)
        match chance.randrange(40):
            case 0:
                await hide(progress, user, hidden=chance.random() < 0.5)
            case 1:
                await reset(progress, course_id="c")
            case _:
                course = chance.choice(["", "c"])
                await progress.award(user, chance.randint(1, 5), course_id=course)


@asynccontextmanager
async def _writers(progress: Progress) -> AsyncIterator[None]:
    tasks = [asyncio.create_task(_write(progress, seed)) for seed in range(3)]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        for outcome in await asyncio.gather(*tasks, return_exceptions=True):
            assert isinstance(outcome, asyncio.CancelledError), outcome


async def _from_redis_at_head(pair: Pair) -> None:
    """Waits until Redis answers again and has what was written by now."""
    status = await pair.progress.admin.GetStatus(admin_pb2.GetStatusRequest())
    head = status.head.sequence

    async def there() -> bool:
        state = (await pair.boards.GetTop(pb.GetTopRequest(board=ALL_TIME))).state
        return state.source == REDIS and state.position.sequence >= head

    await eventually(there, "Redis answers and has caught up")


async def _under_fire(
    progress: Progress, redis_url: str, parts: int, faults: list[Fault]
) -> Readers:
    """Reads and writes while one fault after the other happens and heals; what was read."""
    await progress.put_users(*USERS)
    await progress.put_course("c", level("l1"))
    settings: dict[str, Any] = {"partitions": parts, "fallback_limit": 1000}
    async with running(redis_url, progress.target, **settings) as app, dial(app) as channel:
        pair = Pair(channel, progress)
        readers = Readers(
            pair.boards, (ALL_TIME, WEEK, OF_COURSE), (*USERS, "nobody"), random.Random(7)
        )
        await _from_redis_at_head(pair)
        async with _writers(progress):
            for fault in faults:
                async with readers.reading():
                    await _answers(readers, 50)
                    await fault()
                    await _from_redis_at_head(pair)
                    await _answers(readers, 50)
        await pair.settled()
        assert not readers.errors
        assert readers.sources[REDIS]
        await readers.check(progress)
        assert await pair.agree(*USERS)
        return readers


async def _answers(readers: Readers, more: int) -> None:
    wanted = len(readers.answers) + more

    async def read() -> bool:
        return len(readers.answers) >= wanted

    await eventually(read, f"{more} more answers")


@pytest.mark.parametrize("parts", [1, 4])
async def test_no_answer_is_wrong_while_redis_is_emptied(
    progress: Progress, redis_url: str, parts: int
) -> None:
    async with direct(redis_url) as redis:

        async def flush() -> None:
            await redis.flushall()

        readers = await _under_fire(progress, redis_url, parts, [flush] * 3)
        assert readers.sources[POSTGRESQL]


@pytest.mark.parametrize("parts", [1, 4])
async def test_no_answer_is_wrong_while_redis_is_killed(
    progress: Progress, tmp_path: Path, parts: int
) -> None:
    redis = EmbeddedRedis(tmp_path / "redis")
    redis.start()

    async def kill() -> None:
        await asyncio.to_thread(redis.kill)
        await asyncio.to_thread(redis.start)

    try:
        await _under_fire(progress, redis.url(), parts, [kill] * 3)
    finally:
        redis.stop()


@pytest.mark.parametrize("parts", [1, 4])
async def test_no_answer_is_wrong_after_redis_is_put_back_to_an_older_copy(
    progress: Progress, tmp_path: Path, parts: int
) -> None:
    redis = EmbeddedRedis(tmp_path / "redis")
    redis.start()
    data, copy = tmp_path / "redis" / "data", tmp_path / "copy"

    async def copy_it() -> None:
        await asyncio.to_thread(redis.stop)
        await asyncio.to_thread(shutil.copytree, data, copy)
        await asyncio.to_thread(redis.start)

    async def put_back() -> None:
        await asyncio.to_thread(redis.stop)
        await asyncio.to_thread(shutil.rmtree, data)
        await asyncio.to_thread(shutil.copytree, copy, data)
        await asyncio.to_thread(redis.start)

    try:
        await _under_fire(progress, redis.url(), parts, [copy_it, put_back])
    finally:
        redis.stop()


async def test_no_answer_is_wrong_while_a_master_of_a_cluster_fails_over(
    progress: Progress, scratch: Path
) -> None:
    cluster = TestCluster(scratch / "failover", replicas=True)
    try:
        await asyncio.to_thread(cluster.start)

        async def fail_over() -> None:
            await asyncio.to_thread(cluster.fail_over, 1)

        await _under_fire(progress, cluster.url, 6, [fail_over])
    finally:
        cluster.stop()
