"""What hidden users have on boards of periods that are over leaves Redis with the boards."""

from collections.abc import AsyncIterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from leaderboard_service.breaker import RedisBreaker
from leaderboard_service.domain.board import Floors, parse_board_name
from leaderboard_service.store.boards import BoardWriter
from leaderboard_service.upkeep import Upkeep
from tests.leaderboard_damage import lose_hidden
from tests.leaderboard_store import (
    FLOORS,
    Stores,
    check_counts,
    contents,
    credit,
    hidden,
    new_fold,
    open_stores,
    shown,
)
from tests.leaderboard_world import DAYS, USERS, World, open_world

DAY_AFTER = "2026-10-18"
RAISED = Floors(FLOORS.year, FLOORS.month, FLOORS.week, DAY_AFTER)
OLD = "xp//day/2026-10-17"
MANY = 1_100


@pytest.fixture(params=["one part", "parts of a cluster"])
async def stores(request: pytest.FixtureRequest) -> AsyncIterator[Stores]:
    """Boards as they are, and in parts on several servers."""
    whole = request.param == "one part"
    url = request.getfixturevalue("redis_url" if whole else "redis_cluster_url")
    async with open_stores(url, 1 if whole else 4) as found:
        yield found


async def _hide(stores: Stores, users: list[str], *days: str) -> None:
    """Each of the users is hidden, and has a point on each of the days."""
    fold = new_fold()
    for user in users:
        fold.profile(user, hidden())
        for day in days:
            credit(fold, user, 1, day=day)
    await stores.apply(fold)


async def _kept(stores: Stores) -> dict[str, set[str]]:
    """The boards on which hidden users have scores."""
    return {
        name.removeprefix("hidden:"): set(scores)
        for name, scores in (await contents(stores)).items()
        if name.startswith("hidden:")
    }


async def test_many_hidden_users_lose_old_scores_and_keep_the_others(stores: Stores) -> None:
    users = [f"h{number}" for number in range(MANY)]
    await _hide(stores, users, "2026-10-17", DAY_AFTER)
    before = await _kept(stores)
    assert await stores.writer.prune_hidden(stores.generation) == 0
    await stores.writer.raise_floors(stores.generation, RAISED)
    assert await stores.writer.prune_hidden(stores.generation) == MANY
    assert await _kept(stores) == {user: boards - {OLD} for user, boards in before.items()}
    await check_counts(stores)


async def test_one_who_had_old_scores_alone_leaves_nothing(stores: Stores) -> None:
    fold = new_fold()
    fold.profile("h", hidden())
    for board in (OLD, "xp/c/day/2026-10-17"):
        fold.boards[board] = {"h": 1}
    await stores.apply(fold)
    assert set(await _kept(stores)) == {"h"}
    await stores.writer.raise_floors(stores.generation, RAISED)
    assert await stores.writer.prune_hidden(stores.generation) == 2
    assert await _kept(stores) == {}
    await check_counts(stores)


async def test_scores_that_are_not_as_counted_are_left_to_readers(stores: Stores) -> None:
    await _hide(stores, ["h", "i"], "2026-10-17", DAY_AFTER)
    await stores.writer.raise_floors(stores.generation, RAISED)
    await lose_hidden(stores)
    part = stores.generation.parts[stores.generation.part_of("h")]
    await stores.link.client.hset(part.hidden("h"), OLD, 1)
    counted = await stores.link.client.hget(part.meta, "h:h")
    assert await stores.writer.prune_hidden(stores.generation) == 1
    assert (await _kept(stores))["h"] == {OLD}
    assert await stores.link.client.hget(part.meta, "h:h") == counted
    assert OLD not in (await _kept(stores))["i"]


async def test_each_part_goes_by_its_own_floors(redis_url: str) -> None:
    async with open_stores(redis_url, 4) as stores:
        users = [f"h{number}" for number in range(40)]
        await _hide(stores, users, "2026-10-17")
        await stores.link.client.hset(stores.generation.parts[2].meta, "floors", RAISED.encode())
        theirs = {user for user in users if stores.generation.part_of(user) == 2}
        assert await stores.writer.prune_hidden(stores.generation) == len(theirs) > 0
        kept = await _kept(stores)
        assert {user for user in users if OLD not in kept[user]} == theirs
        await check_counts(stores)


async def test_a_generation_that_is_gone_has_nothing_to_prune(stores: Stores) -> None:
    await _hide(stores, ["h"], "2026-10-17")
    await stores.generations.clear()
    assert await stores.writer.prune_hidden(stores.generation) == 0


def _upkeep(world: World, wanted: list[Floors]) -> Upkeep:
    stores = world.stores
    return Upkeep(
        BoardWriter(stores.link),
        stores.generations,
        RedisBreaker(stores.link),
        world.rebuilder,
        wanted_floors=lambda: wanted[0],
    )


async def test_upkeep_prunes_whenever_floors_were_raised_also_by_one_who_died(
    redis_url: str,
) -> None:
    async with open_world(redis_url) as world:
        stores, wanted = world.stores, [FLOORS]
        await stores.generations.refresh()
        await _hide(stores, ["h"], "2026-10-17", DAY_AFTER)
        upkeep = _upkeep(world, wanted)
        await upkeep.raise_floors()
        assert OLD in (await _kept(stores))["h"]
        # No board is dropped, since nobody is shown on one.
        wanted[0] = RAISED
        await upkeep.raise_floors()
        assert OLD not in (await _kept(stores))["h"]
        later = Floors(FLOORS.year, FLOORS.month, FLOORS.week, "2026-10-19")
        await stores.writer.raise_floors(stores.generation, later)
        assert f"xp//day/{DAY_AFTER}" in (await _kept(stores))["h"]
        wanted[0] = later
        await _upkeep(world, wanted).raise_floors()
        assert f"xp//day/{DAY_AFTER}" not in (await _kept(stores))["h"]
        await check_counts(stores)


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    scores=st.lists(st.tuples(st.sampled_from(USERS), st.sampled_from(DAYS[:2])), max_size=12),
    hides=st.sets(st.sampled_from(USERS)),
    day=st.sampled_from(["2026-11-13", "2026-11-14", "2026-11-21"]),
)
async def test_whatever_is_hidden_is_as_the_floors_say_and_comes_back_so(
    redis_url: str, scores: list[tuple[str, str]], hides: set[str], day: str
) -> None:
    async with open_stores(redis_url, 2) as stores:
        fold = new_fold()
        for user in USERS:
            fold.profile(user, hidden() if user in hides else shown())
        for user, on in scores:
            credit(fold, user, 1, day=on)
        await stores.apply(fold)
        before = await _kept(stores)
        wanted = Floors(FLOORS.year, FLOORS.month, FLOORS.week, day)
        await stores.writer.raise_floors(stores.generation, wanted)
        await stores.writer.prune_hidden(stores.generation)
        due = {
            user: {name for name in names if _is_kept(wanted, name)}
            for user, names in before.items()
        }
        assert await _kept(stores) == {user: names for user, names in due.items() if names}
        await check_counts(stores)
        meta = await stores.writer.meta(stores.generation)
        assert meta is not None
        stores.meta = meta
        back = new_fold(wanted)
        for user in hides:
            back.profile(user, shown())
        await stores.apply(back)
        assert await _kept(stores) == {}
        await check_counts(stores)


def _is_kept(floors: Floors, name: str) -> bool:
    board = parse_board_name(name)
    return floors.keeps(board.window, board.period)
