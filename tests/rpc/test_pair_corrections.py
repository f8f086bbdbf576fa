"""Whatever is withdrawn, reset, erased or mended: the boards in Redis are those in PostgreSQL."""

from collections.abc import AsyncIterator

import pytest

from shared.gen.laurel.leaderboard.v1 import admin_pb2 as boards_admin_pb2
from shared.gen.laurel.progress.v1 import admin_pb2
from shared.gen.laurel.types.v1 import types_pb2
from shared.periods import Window
from tests.leaderboard_app import direct
from tests.pair import Pair, hidden_agree, running_pair
from tests.pair_acts import Crowd, ago, award, erase, hide, period, reset
from tests.progress import Progress, level


@pytest.fixture
async def pair(redis_url: str, progress: Progress) -> AsyncIterator[Pair]:
    await progress.put_users("ann", "bob", "cat")
    await progress.put_course("c", level("l1"), level("l2"))
    await progress.put_course("d", level("l3"))
    async with running_pair(redis_url, progress) as found:
        yield found


async def test_a_revoked_entry_leaves_every_board_on_which_it_counted(pair: Pair) -> None:
    await pair.progress.submit("ann", "l1", 7)
    await award(pair.progress, "bob", 30, course_id="c")
    entry = await award(pair.progress, "ann", 20, course_id="c", occurred_time=ago(9))
    assert await pair.top(metric="xp") == {"ann": 70, "bob": 30}
    await pair.progress.revoke(entry)
    assert await pair.top(metric="xp") == {"ann": 50, "bob": 30}
    week = {"window": types_pb2.WINDOW_WEEK, "period": period(Window.WEEK, 9)}
    assert await pair.top(metric="xp", course_id="c", **week) == {}
    (reward,) = [e for e in await pair.progress.entries("ann") if e.level_id and e.metric == "xp"]
    await pair.progress.revoke(reward.entry_id)
    assert await pair.top(metric="xp") == {"bob": 30}
    assert await pair.agree("ann", "bob", "cat") >= 10


async def test_a_void_attempt_leaves_the_boards_of_its_level(pair: Pair) -> None:
    first = await pair.progress.submit("ann", "l1", 9, occurred_time=ago(9))
    await pair.progress.submit("ann", "l1", 6)
    await pair.progress.submit("bob", "l1", 8)
    assert await pair.top(metric="marks", course_id="c") == {"ann": 90, "bob": 80}
    await pair.progress.void(first.attempt_id)
    assert await pair.top(metric="marks", course_id="c") == {"ann": 60, "bob": 80}
    await pair.agree("ann", "bob", "cat")
    for attempt in await pair.progress.attempts(user_id="ann"):
        if not attempt.voided:
            await pair.progress.void(attempt.attempt_id)
    assert await pair.top(metric="marks", course_id="c") == {"bob": 80}
    await pair.progress.submit("ann", "l1", 10)
    await pair.agree("ann", "bob", "cat")


async def test_a_void_raises_no_score_on_a_board_that_was_reset(pair: Pair) -> None:
    best, _ = [await pair.progress.submit("ann", "l1", score) for score in (8, 6)]
    await pair.progress.submit("bob", "l1", 7)
    await pair.progress.reset("q1", metric="marks")
    await pair.progress.void(best.attempt_id)
    assert await pair.top(metric="marks") == {}
    assert await pair.top(metric="marks", course_id="c") == {"ann": 60, "bob": 70}
    await pair.agree("ann", "bob", "cat")


@pytest.mark.parametrize("course", ["", "c"])
async def test_a_reset_board_is_left_alone_by_revocations_of_what_came_before(
    pair: Pair, course: str
) -> None:
    boards = [
        {
            "metric": "xp",
            "course_id": course,
            "window": types_pb2.Window.ValueType(window),
            "period": period(window),
        }
        for window in Window
    ]
    older = await award(pair.progress, "ann", 40, course_id="c")
    await award(pair.progress, "bob", 15, course_id="c")
    for number, board in enumerate(boards):
        assert await pair.top(**board) == {"ann": 40, "bob": 15}
        position = await reset(pair.progress, **board)
        assert position == await pair.progress.settled()
        assert [await pair.top(**other) for other in boards[: number + 1]] == [{}] * (number + 1)
    newer = await award(pair.progress, "ann", 3, course_id="c")
    await award(pair.progress, "cat", 5, course_id="c")
    await pair.progress.revoke(older)
    for board in boards:
        assert await pair.top(**board) == {"ann": 3, "cat": 5}
    await pair.progress.revoke(newer)
    for board in boards:
        assert await pair.top(**board) == {"cat": 5}
    other = "" if course else "c"
    assert await pair.top(metric="xp", course_id=other) == {"bob": 15, "cat": 5}
    assert await pair.agree("ann", "bob", "cat") >= len(boards)


async def test_a_board_that_redis_does_not_keep_can_be_reset(pair: Pair) -> None:
    await award(pair.progress, "ann", 40, occurred_time=ago(60))
    day = {"window": types_pb2.WINDOW_DAY, "period": period(Window.DAY, 60)}
    await reset(pair.progress, metric="xp", **day)
    await reset(pair.progress, metric="xp", course_id="d")
    assert await pair.top(metric="xp") == {"ann": 40}
    assert await pair.progress.top(metric="xp", **day) == []
    await pair.agree("ann")


async def test_an_erased_user_leaves_all_boards_and_the_others_keep_their_places(
    pair: Pair, redis_url: str
) -> None:
    for user, correct in [("ann", 10), ("bob", 8), ("cat", 6)]:
        await pair.progress.submit(user, "l1", correct)
        await award(pair.progress, user, correct, occurred_time=ago(5))
    await pair.agree("ann", "bob", "cat")
    await erase(pair.progress, "bob")
    assert await pair.top(metric="marks") == {"ann": 100, "cat": 60}
    await pair.agree("ann", "bob", "cat")
    async with direct(redis_url) as redis:
        (profiles,) = await redis.keys("*:profiles")
        assert set(await redis.hkeys(profiles)) == {"ann", "cat"}
    # The id is free again, for somebody else.
    await pair.progress.put_users("bob")
    await pair.progress.submit("bob", "l1", 5)
    assert await pair.top(metric="marks") == {"ann": 100, "cat": 60, "bob": 50}
    await pair.agree("ann", "bob", "cat")


async def test_a_hidden_user_can_be_erased(pair: Pair, redis_url: str) -> None:
    await award(pair.progress, "ann", 9)
    await hide(pair.progress, "ann")
    assert "ann" in await hidden_agree(pair, redis_url)
    await erase(pair.progress, "ann")
    assert await hidden_agree(pair, redis_url) == {}
    await pair.agree("ann", "bob", "cat")


async def test_a_hidden_user_comes_back_with_what_is_due_by_then(
    pair: Pair, redis_url: str
) -> None:
    day = {"metric": "xp", "window": types_pb2.WINDOW_DAY, "period": period(Window.DAY)}
    kept = await award(pair.progress, "ann", 40, course_id="c")
    attempt = await pair.progress.submit("ann", "l1", 9)
    await award(pair.progress, "bob", 15)
    await hide(pair.progress, "ann")
    assert await pair.top(metric="xp") == {"bob": 15}
    await reset(pair.progress, **day)
    await award(pair.progress, "ann", 2)
    await pair.progress.void(attempt.attempt_id)
    await pair.progress.revoke(kept)
    names = (await hidden_agree(pair, redis_url))["ann"]
    assert names["xp//all_time/"] == 2
    assert names[f"xp//day/{period(Window.DAY)}"] == 2
    assert await pair.top(**day) == {}
    await hide(pair.progress, "ann", hidden=False)
    assert await pair.top(**day) == {"ann": 2}
    assert await pair.top(metric="xp") == {"ann": 2, "bob": 15}
    assert await hidden_agree(pair, redis_url) == {}
    await pair.agree("ann", "bob", "cat")


async def _corrupt(pair: Pair, user: str, score: int) -> None:
    """A wrong standing in both stores, as if an earlier release had counted wrong."""
    async with pair.progress.sql() as sql:
        await sql.execute(
            """INSERT INTO unnumbered_changes
                   (kind, user_id, metric, course_id, board_window, period, amount)
               VALUES (6, $1, 'xp', '', 1, '', $2)""",
            user,
            score,
        )


async def test_standings_found_wrong_are_mended_in_both_stores(pair: Pair, redis_url: str) -> None:
    for user in ("ann", "bob", "cat"):
        await award(pair.progress, user, 40)
    await hide(pair.progress, "cat")
    for user, score in [("ann", 47), ("bob", 0), ("cat", 1)]:
        await _corrupt(pair, user, score)
    assert await pair.top(metric="xp") == {"ann": 47}
    await pair.agree("ann", "bob", "cat")
    call = pair.progress.admin.BackfillTotals(admin_pb2.BackfillTotalsRequest())
    answers = [answer async for answer in call]
    assert answers[-1].standings_corrected == 3
    assert await pair.top(metric="xp") == {"ann": 40, "bob": 40}
    assert (await hidden_agree(pair, redis_url))["cat"]["xp//all_time/"] == 40
    await pair.agree("ann", "bob", "cat")


@pytest.mark.parametrize("seed", range(3))
async def test_after_anything_at_all_the_two_stores_agree(
    redis_url: str, progress: Progress, seed: int
) -> None:
    await progress.put_course("c", level("l1"), level("l2"))
    await progress.put_course("d", level("l3"))
    crowd = Crowd(progress, seed)
    for _ in range(2):
        # The boards come from a snapshot first; the second time they go on where they were.
        async with running_pair(redis_url, progress) as pair:
            await crowd.act(40)
            await pair.agree(*crowd.users)
            await hidden_agree(pair, redis_url)
        await crowd.act(10)
    async with running_pair(redis_url, progress) as pair:
        await pair.agree(*crowd.users)
        rebuild = pair.admin.RebuildBoards(boards_admin_pb2.RebuildBoardsRequest())
        assert [message async for message in rebuild][-1].complete
        await pair.agree(*crowd.users)
