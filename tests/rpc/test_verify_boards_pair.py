"""VerifyBoards on both services: whatever people do meanwhile, the stores agree."""

import asyncio

import pytest

from leaderboard_service.domain.board import Board
from shared.periods import Window
from tests.board_damage import hand
from tests.leaderboard_app import dial, running
from tests.pair import Pair
from tests.pair_acts import Crowd, award, hide, period
from tests.progress import Progress, level
from tests.verify_boards import ALL_TIME, verify


@pytest.mark.parametrize("parts", [1, 4])
async def test_a_crowd_at_work_raises_no_false_alarm(
    redis_url: str, progress: Progress, parts: int
) -> None:
    await progress.put_course("c", level("l1"), level("l2"))
    await progress.put_course("d", level("l3"))
    crowd = Crowd(progress, seed=parts)
    await crowd.act(20)
    async with (
        running(redis_url, progress.target, partitions=parts) as app,
        dial(app) as channel,
    ):
        pair = Pair(channel, progress)
        await pair.settled()
        acting = asyncio.create_task(crowd.act(30))
        calls = 0
        while not acting.done():
            assert (await verify(pair.admin, repair=calls % 2 == 1)).mismatches == []
            calls += 1
        await acting
        assert calls > 1
        await pair.agree(*crowd.users)
        assert (await verify(pair.admin)).mismatches == []


async def test_damage_is_found_and_mended(redis_url: str, progress: Progress) -> None:
    await progress.put_course("c", level("l1"))
    await progress.put_users("ann", "bob", "cat")
    for user, amount in (("ann", 30), ("bob", 20), ("cat", 10)):
        await award(progress, user, amount, course_id="c")
    await hide(progress, "cat")
    async with (
        running(redis_url, progress.target, partitions=4) as app,
        dial(app) as channel,
    ):
        pair = Pair(channel, progress)
        await pair.settled()
        day = Board("xp", "c", Window.DAY, period(Window.DAY)).name
        async with hand(redis_url) as spoiler:
            await spoiler.put(ALL_TIME, "ann", 31)
            await spoiler.drop(day)
            await spoiler.keep(ALL_TIME, "cat", 9)
        expected = sorted(
            [
                (ALL_TIME, "ann", 30, 31),
                (ALL_TIME, "cat", 10, 9),
                (day, "ann", 30, 0),
                (day, "bob", 20, 0),
            ]
        )
        found = await verify(pair.admin)
        assert sorted(found.mismatches) == expected
        assert found.last.standings_checked == found.last.standings_total == 30
        found = await verify(pair.admin, ALL_TIME, day, repair=True)
        assert sorted(found.mismatches) == expected
        assert found.last.repaired == 4
        await pair.agree("ann", "bob", "cat")
        assert (await verify(pair.admin)).mismatches == []
        await hide(progress, "cat", hidden=False)
        assert await pair.top(metric="xp") == {"ann": 30, "bob": 20, "cat": 10}
