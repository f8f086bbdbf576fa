"""Batches reach the boards once or not at all, and lost keys are noticed."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from leaderboard_service.domain.answer import MAX_SCORE, Position
from leaderboard_service.domain.board import Floors
from leaderboard_service.domain.fold import Fold
from leaderboard_service.domain.question import RankAsk
from leaderboard_service.store import keys
from leaderboard_service.store.boards import (
    Advance,
    Broken,
    FloorsRaised,
    GenerationGone,
    Moved,
)
from shared.rank_mode import RankMode
from tests.leaderboard_damage import (
    lose_board,
    lose_everything,
    lose_hidden,
    lose_member,
    lose_meta,
    lose_profiles,
    replace_board,
)
from tests.leaderboard_store import (
    EPOCH,
    FLOORS,
    XP,
    Stores,
    credit,
    hidden,
    new_fold,
    open_stores,
    scores_fold,
    shown,
)

_RANK = RankAsk(XP, RankMode.COMPETITION, "b")


async def _snapshot(stores: Stores) -> dict[str, object]:
    """Every key of the generation, with what it holds."""
    client = stores.link.client
    found: dict[str, object] = {}
    for key in sorted(await client.keys("laurel:{0}:*")):
        kind = await client.type(key)
        found[str(key)] = (
            await client.zrange(key, 0, -1, withscores=True)
            if kind == "zset"
            else await client.hgetall(key)
        )
    return found


async def test_a_batch_that_is_applied_twice_counts_once(redis_url: str) -> None:
    async with open_stores(redis_url) as stores:
        before = stores.meta
        await stores.apply(scores_fold([("a", 5)]))
        with pytest.raises(Moved) as caught:
            await stores.writer.apply(
                stores.generation,
                before,
                scores_fold([("a", 5)]),
                Advance(Position(EPOCH, 1), 1, 1),
            )
        assert caught.value.position == Position(EPOCH, 1)
        assert await stores.link.client.zscore(stores.generation.parts[0].board(XP.name), "a") == -5


async def test_of_two_who_race_one_wins_each_step(redis_url: str) -> None:
    async with open_stores(redis_url) as stores:

        async def follow() -> None:
            meta = stores.meta
            while meta.position.sequence < 50:
                advance = Advance(Position(EPOCH, meta.position.sequence + 1), 1, 1)
                try:
                    fold = scores_fold([("a", 1)])
                    meta = await stores.writer.apply(stores.generation, meta, fold, advance)
                except Moved:
                    found = await stores.writer.meta(stores.generation)
                    assert found is not None
                    meta = found

        await asyncio.gather(follow(), follow(), follow())
        assert (
            await stores.link.client.zscore(stores.generation.parts[0].board(XP.name), "a") == -50
        )


async def test_a_position_of_another_tenure_is_another_position(redis_url: str) -> None:
    async with open_stores(redis_url) as stores:
        await stores.link.client.hset(stores.generation.parts[0].meta, "epoch", "other")
        with pytest.raises(Moved):
            await stores.apply(scores_fold([("a", 5)]))
        with pytest.raises(Moved):
            await stores.writer.confirm(stores.generation, stores.meta, EPOCH, 5)


async def test_a_confirmation_moves_time_and_tenure_and_nothing_else(redis_url: str) -> None:
    async with open_stores(redis_url) as stores:
        await stores.apply(scores_fold([("a", 5)]))
        assert stores.meta.fields == await stores.link.client.hlen(stores.generation.parts[0].meta)
        stores.meta = await stores.writer.confirm(stores.generation, stores.meta, "e2", 99)
        assert stores.meta == await stores.writer.meta(stores.generation)
        assert (stores.meta.position, stores.meta.last.numbered_us) == (Position("e2", 1), 10)
        assert stores.meta.last.confirmed_us == 99


async def test_a_score_of_zero_leaves_the_board_and_an_empty_board_is_forgotten(
    redis_url: str,
) -> None:
    async with open_stores(redis_url) as stores:
        await stores.apply(scores_fold([("a", 5), ("b", 1)]))
        await stores.apply(scores_fold([("a", -5)]))
        assert await stores.writer.board_counts(stores.generation) == {XP.name: 1}
        await stores.apply(scores_fold([("b", -1)]))
        assert await stores.writer.board_counts(stores.generation) == {}


async def test_large_batches_are_written_whole(redis_url: str) -> None:
    async with open_stores(redis_url) as stores:
        scores = [(f"u{i}", i + 1) for i in range(2345)]
        fold = scores_fold(scores)
        for user, _ in scores:
            fold.profile(user, shown(user.upper()))
        await stores.apply(fold)
        await stores.apply(scores_fold([(user, -1) for user, _ in scores]))
        found: dict[str, float] = dict(
            await stores.link.client.zrange(
                stores.generation.parts[0].board(XP.name), 0, -1, withscores=True
            )
        )
        assert found == {user: 1 - score for user, score in scores if score > 1}


async def test_a_score_beyond_what_a_double_holds_changes_nothing(redis_url: str) -> None:
    async with open_stores(redis_url) as stores:
        await stores.apply(scores_fold([("a", MAX_SCORE)]))
        before = await _snapshot(stores)
        fold = scores_fold([("b", 5), ("a", 1)])
        fold.profile("c", shown())
        with pytest.raises(Broken):
            await stores.apply(fold)
        assert await _snapshot(stores) == before


def _touch_hidden() -> Fold:
    fold = new_fold()
    credit(fold, "h", 1)
    return fold


def _show_hidden() -> Fold:
    fold = scores_fold([])
    fold.profile("h", shown())
    return fold


def _hide() -> Fold:
    fold = scores_fold([])
    fold.profile("b", hidden())
    return fold


@pytest.mark.parametrize(
    ("lose", "fold", "noticed"),
    [
        (lose_board, lambda: scores_fold([("c", 1)]), Broken),
        (lose_member, lambda: scores_fold([("c", 1)]), Broken),
        (replace_board, lambda: scores_fold([("c", 1)]), Broken),
        (lose_board, _hide, Broken),
        (lose_profiles, lambda: scores_fold([("c", 1)]), Broken),
        (lose_hidden, _touch_hidden, Broken),
        (lose_hidden, _show_hidden, Broken),
        (lose_meta, lambda: scores_fold([("c", 1)]), GenerationGone),
        (lose_everything, lambda: scores_fold([("c", 1)]), GenerationGone),
    ],
)
async def test_lost_keys_are_noticed_before_anything_is_written(
    redis_url: str,
    lose: Callable[[Stores], Awaitable[None]],
    fold: Callable[[], Fold],
    noticed: type[Exception],
) -> None:
    async with open_stores(redis_url) as stores:
        await _fill(stores)
        await lose(stores)
        client = stores.link.client
        before = {key: await client.dump(key) for key in await client.keys("*")}
        with pytest.raises(noticed):
            await stores.apply(fold())
        assert {key: await client.dump(key) for key in await client.keys("*")} == before


async def _fill(stores: Stores) -> None:
    fold = scores_fold([("a", 5), ("b", 7), ("h", 9)])
    fold.profile("a", shown("A"))
    fold.profile("h", hidden())
    await stores.apply(fold)


@pytest.mark.parametrize("lose", [lose_board, lose_member, replace_board])
async def test_a_board_that_has_lost_members_is_not_answered(
    redis_url: str, lose: Callable[[Stores], Awaitable[None]]
) -> None:
    async with open_stores(redis_url) as stores:
        await _fill(stores)
        await lose(stores)
        (answer,) = await stores.reads.rank(stores.generation, [_RANK])
        assert isinstance(answer, Broken)


@pytest.mark.parametrize("lose", [lose_profiles, lose_meta, lose_everything])
async def test_a_generation_that_has_lost_its_meta_or_profiles_is_gone(
    redis_url: str, lose: Callable[[Stores], Awaitable[None]]
) -> None:
    async with open_stores(redis_url) as stores:
        await _fill(stores)
        await lose(stores)
        with pytest.raises(GenerationGone):
            await stores.reads.rank(stores.generation, [_RANK])


async def test_raised_floors_drop_the_boards_before_them(redis_url: str) -> None:
    async with open_stores(redis_url) as stores:
        fold = new_fold()
        credit(fold, "a", 1, day="2026-10-17")
        credit(fold, "a", 1, day="2026-10-18")
        credit(fold, "h", 1, day="2026-10-17")
        fold.profile("h", hidden())
        await stores.apply(fold)
        wanted = Floors(FLOORS.year, FLOORS.month, FLOORS.week, "2026-10-18")
        assert await stores.writer.raise_floors(stores.generation, wanted) == 1
        assert await stores.writer.raise_floors(stores.generation, FLOORS) == 0
        days = [
            name for name in await stores.writer.board_counts(stores.generation) if "/day/" in name
        ]
        assert days == ["xp//day/2026-10-18"]
        with pytest.raises(FloorsRaised) as caught:
            await stores.apply(scores_fold([("a", 1)]))
        assert caught.value.floors == wanted
        # Who comes back does not bring old periods back.
        meta = await stores.writer.meta(stores.generation)
        assert meta is not None
        stores.meta = meta
        fold = new_fold(wanted)
        fold.profile("h", shown())
        await stores.apply(fold)
        assert "xp//day/2026-10-17" not in await stores.writer.board_counts(stores.generation)


async def test_a_dead_generation_is_an_orphan_and_the_read_one_is_not(redis_url: str) -> None:
    async with open_stores(redis_url) as stores:
        await _fill(stores)
        dead = keys.new_generation()
        await stores.link.client.hset(dead.parts[0].profiles, "a", "s[]")
        assert await stores.generations.orphans() == {dead}
        assert await stores.generations.lock(dead, 30.0)
        assert await stores.generations.orphans() == set()
        await stores.generations.unlock(dead)
        assert await stores.generations.drop(dead) == 1
        assert await stores.generations.orphans() == set()


async def test_one_builds_at_a_time(redis_url: str) -> None:
    async with open_stores(redis_url) as stores:
        first, second = keys.new_generation(), keys.new_generation()
        assert await stores.generations.lock(first, 30.0)
        assert not await stores.generations.lock(second, 30.0)
        await stores.generations.unlock(second)
        assert not await stores.generations.lock(second, 30.0)
        await stores.generations.unlock(first)
        assert await stores.generations.lock(second, 30.0)
