"""The four scenarios that every hand-made pair of ledger and leaderboard fails."""

from collections.abc import AsyncIterator

import pytest

from shared.embedded.redis import EmbeddedRedis
from shared.gen.laurel.leaderboard.v1 import leaderboard_pb2 as pb
from shared.gen.laurel.progress.v1 import progress_pb2
from shared.gen.laurel.types.v1 import types_pb2
from tests.leaderboard_app import POSTGRESQL, REDIS, dial, direct, eventually, running
from tests.pair import Pair
from tests.progress import Progress, level


@pytest.fixture
async def pair(redis_server: EmbeddedRedis, progress: Progress) -> AsyncIterator[Pair]:
    async with running(redis_server.url(), progress.target) as app, dial(app) as channel:
        yield Pair(channel, progress)


async def test_after_a_completed_level_total_redis_and_board_agree(
    pair: Pair, redis_server: EmbeddedRedis
) -> None:
    await pair.progress.put_users("ann")
    await pair.progress.put_course("c", level("l1"))
    answer = await pair.progress.submit("ann", "l1")
    await pair.settled()
    stats = await pair.progress.progress.GetUserStats(
        progress_pb2.GetUserStatsRequest(user_id="ann")
    )
    rank = await pair.boards.GetRank(pb.GetRankRequest(user_id="ann"))
    async with direct(redis_server.url()) as redis:
        (key,) = [key async for key in redis.scan_iter("laurel:*:board:xp//all_time/")]
        score = await redis.zscore(key, "ann")
    xp = next(one.all_time for one in stats.metrics if one.metric == "xp")
    assert (answer.total_xp, xp, -(score or 0), rank.entry.score) == (50, 50, 50, 50)
    assert rank.state.source == REDIS


async def test_two_users_with_equal_xp_are_first_and_the_next_is_third(pair: Pair) -> None:
    await pair.progress.put_users("ann", "bob", "cid")
    for user_id, amount in (("bob", 70), ("ann", 70), ("cid", 20)):
        await pair.progress.award(user_id, amount)
    await pair.settled()
    top = await pair.boards.GetTop(pb.GetTopRequest())
    assert [(one.rank, one.user_id) for one in top.entries] == [(1, "ann"), (1, "bob"), (3, "cid")]


async def test_with_redis_stopped_submissions_succeed_and_the_board_answers(
    pair: Pair, redis_server: EmbeddedRedis
) -> None:
    await pair.progress.put_users("ann", "bob")
    await pair.progress.put_course("c", level("l1"))
    await pair.progress.submit("bob", "l1")
    await pair.settled()
    redis_server.stop()
    answer = await pair.progress.submit("ann", "l1")
    assert answer.xp_earned == 50
    head = await pair.progress.settled()
    top = await pair.boards.GetTop(pb.GetTopRequest(user_id="ann"))
    assert [(one.rank, one.user_id, one.score) for one in top.entries] == [
        (1, "ann", 50),
        (1, "bob", 50),
    ]
    assert (top.state.source, top.state.position, top.user_entry.rank) == (POSTGRESQL, head, 1)


async def test_with_redis_emptied_the_board_answers_and_soon_from_redis_again(
    pair: Pair, redis_server: EmbeddedRedis
) -> None:
    await pair.progress.put_users("ann", "bob")
    for user_id, amount in (("ann", 30), ("bob", 40)):
        await pair.progress.award(user_id, amount)
    await pair.settled()
    async with direct(redis_server.url()) as redis:
        await redis.flushall()
    sources = set()

    async def from_redis_again() -> bool:
        top = await pair.boards.GetTop(
            pb.GetTopRequest(board=types_pb2.Board(window=types_pb2.WINDOW_WEEK))
        )
        assert [(one.rank, one.user_id, one.score) for one in top.entries] == [
            (1, "bob", 40),
            (2, "ann", 30),
        ]
        sources.add(top.state.source)
        return top.state.source == REDIS

    await eventually(from_redis_again)
    assert sources == {POSTGRESQL, REDIS}
