"""A backfill reaches Redis by the same changes: both stores hold what the ledger says again."""

from tests.audit import XP, backfill, damage, misfolded, scene, verified
from tests.pair import running_pair
from tests.progress import Progress


async def test_boards_in_redis_that_were_built_from_wrong_standings_are_mended(
    redis_url: str, progress: Progress
) -> None:
    await scene(progress)
    await damage(
        progress,
        *misfolded("ann", XP, 80, 15),
        *misfolded("bob", XP, 20, 0),
        *misfolded("cyd", XP, 0, 4),
    )
    async with running_pair(redis_url, progress) as pair:
        assert await pair.top() == {"ann": 15, "cyd": 4}
        assert (await backfill(progress)).counts.standings_corrected == 3
        assert await pair.top() == {"ann": 80, "bob": 20}
        assert await pair.agree("ann", "bob", "cyd") > 10
        await progress.award("cyd", 50)
        assert await pair.top() == {"ann": 80, "cyd": 50, "bob": 20}
        assert await pair.agree("ann", "bob", "cyd") > 10
        await verified(progress)


async def test_boards_in_redis_that_were_right_stay_right(
    redis_url: str, progress: Progress
) -> None:
    await scene(progress)
    async with running_pair(redis_url, progress) as pair:
        assert await pair.top() == {"ann": 80, "bob": 20}
        await damage(progress, *misfolded("ann", XP, 80, 15))
        assert (await backfill(progress, credit_missing=True)).counts.standings_corrected == 1
        assert await pair.top() == {"ann": 80, "bob": 20}
        assert await pair.agree("ann", "bob", "cyd") > 10
