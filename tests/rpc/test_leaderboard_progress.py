"""Both services together: what is written through the one is on the boards of the other."""

import random
from collections.abc import AsyncIterator

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from shared.gen.laurel.leaderboard.v1 import admin_pb2
from shared.gen.laurel.leaderboard.v1 import leaderboard_pb2 as pb
from shared.gen.laurel.progress.v1 import catalog_pb2
from shared.gen.laurel.types.v1 import types_pb2
from tests.leaderboard_app import POSTGRESQL, REDIS, direct, eventually
from tests.pair import Pair, running_pair
from tests.progress import Progress, level

ALL_TIME = types_pb2.Board()
USERS = [f"u{number}" for number in range(12)]


@pytest.fixture
async def pair(redis_url: str, progress: Progress) -> AsyncIterator[Pair]:
    async with running_pair(redis_url, progress) as pair:
        yield pair


async def _write(progress: Progress) -> None:
    """Awards of few amounts, so that there are ties; in courses and out of them; some hidden."""
    rnd = random.Random(7)
    await progress.put_users(*USERS)
    await progress.put_course("c1", level("l1"), level("l2"))
    for user in USERS[:9]:
        await progress.submit(user, "l1")
        if rnd.random() < 0.5:
            await progress.submit(user, "l2")
    entries = [
        await progress.award(user, rnd.choice([10, 20]), course_id=rnd.choice(["", "c1"]))
        for user in USERS[3:]
    ]
    assert entries
    for user in (USERS[1], USERS[5]):
        hidden = catalog_pb2.User(user_id=user, display_name=user, hidden=True)
        await progress.catalog.PutUser(catalog_pb2.PutUserRequest(user=hidden))
    await progress.award(USERS[5], 1000)


async def _everything(pair: Pair) -> list[object]:
    """Every answer about some boards, without what differs between the stores."""
    answers: list[object] = []
    for board in (
        ALL_TIME,
        types_pb2.Board(course_id="c1"),
        types_pb2.Board(window=types_pb2.WINDOW_WEEK),
        types_pb2.Board(metric="marks", course_id="c1", window=types_pb2.WINDOW_DAY),
        types_pb2.Board(metric="nothing"),
    ):
        token = ""
        while True:
            top = await pair.boards.GetTop(
                pb.GetTopRequest(board=board, page_size=4, page_token=token, user_id=USERS[2])
            )
            answers.append(top)
            token = top.next_page_token
            if not token:
                break
        for user in [*USERS, "nobody"]:
            rank = pb.GetRankRequest(board=board, user_id=user)
            near = pb.GetAroundRequest(board=board, user_id=user, count=5)
            answers += [await pair.boards.GetRank(rank), await pair.boards.GetAround(near)]
        batch = pb.BatchGetRanksRequest(board=board, user_ids=[*USERS, "nobody"])
        answers.append(await pair.boards.BatchGetRanks(batch))
    return answers


async def test_both_stores_give_the_same_answers(pair: Pair, redis_url: str) -> None:
    await _write(pair.progress)
    await pair.settled()
    from_redis = await _everything(pair)
    assert {answer.state.source for answer in from_redis} == {REDIS}  # type: ignore[attr-defined]
    async with direct(redis_url) as redis:
        # Nobody may build: the boards stay away.
        await redis.set("laurel:rebuild", "somebody", ex=60)
        await redis.delete("laurel:generation")
        for key in await redis.keys("*:meta"):
            await redis.delete(key)
        from_postgresql = await _everything(pair)
    assert {answer.state.source for answer in from_postgresql} == {POSTGRESQL}  # type: ignore[attr-defined]
    for one, other in zip(from_redis, from_postgresql, strict=True):
        for answer in (one, other):
            answer.state.ClearField("source")  # type: ignore[attr-defined]
            answer.state.ClearField("confirmed_time")  # type: ignore[attr-defined]
        assert one == other


async def test_boards_built_from_a_snapshot_equal_those_that_followed(
    pair: Pair, redis_url: str
) -> None:
    await _write(pair.progress)
    await pair.settled()

    async def contents() -> dict[str, object]:
        async with direct(redis_url) as redis:
            found: dict[str, object] = {}
            for key in await redis.keys("laurel:{0}:*"):
                name = str(key).split(":", 3)[3]
                if await redis.type(key) == "zset":
                    found[name] = await redis.zrange(key, 0, -1, withscores=True)
                elif name != "meta":
                    found[name] = await redis.hgetall(key)
            return found

    followed = await contents()
    messages = [m async for m in pair.admin.RebuildBoards(admin_pb2.RebuildBoardsRequest())]
    assert messages[-1].complete
    await pair.settled()

    async def alone() -> bool:
        async with direct(redis_url) as redis:
            return len(await redis.keys("*:meta")) == 1

    await eventually(alone)
    assert await contents() == followed


async def test_a_completed_level_is_on_every_board_of_its_time_and_course(pair: Pair) -> None:
    await pair.progress.put_users("ann")
    await pair.progress.put_course("c1", level("l1"))
    submitted = await pair.progress.submit("ann", "l1")
    await pair.settled()
    for course in ("", "c1"):
        for window in (1, 2, 3, 4, 5):
            board = types_pb2.Board(course_id=course, window=types_pb2.Window.ValueType(window))
            answer = await pair.boards.GetRank(pb.GetRankRequest(board=board, user_id="ann"))
            assert answer.entry.score == submitted.total_xp == 50
            assert answer.entry.display_name == "Ann"
            assert answer.state.source == REDIS


async def test_what_happened_long_ago_is_on_old_boards_and_on_that_of_all_time(
    pair: Pair,
) -> None:
    await pair.progress.put_users("ann")
    await pair.progress.award("ann", 7, occurred_time=Timestamp(seconds=1_380_000_000))
    await pair.settled()
    month = types_pb2.Board(window=types_pb2.WINDOW_MONTH, period="2013-09")
    old = await pair.boards.GetRank(pb.GetRankRequest(board=month, user_id="ann"))
    assert (old.entry.score, old.state.source) == (7, POSTGRESQL)
    now = await pair.boards.GetRank(pb.GetRankRequest(user_id="ann"))
    assert (now.entry.score, now.state.source) == (7, REDIS)
