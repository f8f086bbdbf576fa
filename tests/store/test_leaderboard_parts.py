"""Boards in several parts: each step is in all of them, whatever one of them has missed."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis.asyncio import Redis

from leaderboard_service.domain.answer import Position
from leaderboard_service.domain.board import Floors
from leaderboard_service.domain.fold import Erasure
from leaderboard_service.store.boards import Broken, Moved
from leaderboard_service.store.keys import Generation, new_generation, part_number
from leaderboard_service.store.tasks import part_tasks
from tests.leaderboard_damage import lose_board
from tests.leaderboard_store import (
    EPOCH,
    FLOORS,
    XP,
    Stores,
    check_counts,
    contents,
    credit,
    new_fold,
    open_stores,
    scores_fold,
)
from tests.leaderboard_world import DAYS, USERS, World, open_world

PARTS = 4


@pytest.fixture(params=["one redis", "cluster"])
async def stores(request: pytest.FixtureRequest) -> AsyncIterator[Stores]:
    """Four parts, on one server and on three."""
    name = "redis_url" if request.param == "one redis" else "redis_cluster_url"
    async with open_stores(request.getfixturevalue(name), PARTS) as found:
        yield found


class Dump:
    """A part of the boards as it was: a replica that has not heard the newest."""

    def __init__(self, redis_url: str, stores: Stores, number: int) -> None:
        self._url = redis_url
        self._pattern = stores.generation.parts[number].meta.removesuffix("meta") + "*"
        self._keys: dict[Any, Any] = {}

    async def take(self) -> "Dump":
        async with Redis.from_url(self._url) as redis:
            for key in await redis.keys(self._pattern):
                self._keys[key] = await redis.dump(key)
        return self

    async def restore(self) -> None:
        async with Redis.from_url(self._url) as redis:
            if now := await redis.keys(self._pattern):
                await redis.delete(*now)
            for key, value in self._keys.items():
                await redis.restore(key, 0, value)


def test_a_user_belongs_to_one_part_for_good() -> None:
    # Other processes, other releases and other languages find the user there too.
    assert [part_number(user, 16) for user in ("ann", "bob", "u1", "a.b:c")] == [3, 0, 6, 8]
    assert {part_number(f"u{n}", 16) for n in range(500)} == set(range(16))
    assert part_number("ann", 1) == 0


def test_a_generation_says_of_how_many_parts_it_is() -> None:
    assert len(new_generation().parts) == 1
    generation = new_generation(16)
    assert len(generation.parts) == 16
    assert Generation(generation.id).parts == generation.parts
    assert len({part.meta for part in generation.parts}) == 16


@given(
    amounts=st.dictionaries(st.text("abcXYZ.-", min_size=1, max_size=5), st.integers(1, 9)),
    parts=st.integers(1, 9),
)
def test_parts_share_what_a_fold_holds(amounts: dict[str, int], parts: int) -> None:
    tasks = part_tasks(scores_fold(list(amounts.items())), new_generation(parts))
    found: dict[str, int] = {}
    for number, task in enumerate(tasks):
        payload = json.loads(str(task.arguments[0]))
        for _, pairs in payload["boards"]:
            users = [payload["users"][index - 1] for index in pairs[::2]]
            assert all(part_number(user, parts) == number for user in users)
            found.update(zip(users, pairs[1::2], strict=True))
    assert found == amounts


async def test_every_part_moves_on_with_every_step(stores: Stores) -> None:
    await stores.apply(scores_fold([("ann", 5)]))
    await stores.apply(Erasure("nobody"))
    meta = await stores.writer.meta(stores.generation)
    assert meta is not None
    assert [part.position for part in meta.parts] == [Position(EPOCH, 2)] * PARTS
    assert meta.bound is None
    await check_counts(stores)


async def test_boards_are_counted_over_all_parts(stores: Stores) -> None:
    await stores.apply(scores_fold([(f"u{n}", n + 1) for n in range(50)]))
    assert await stores.writer.board_counts(stores.generation) == {XP.name: 50}
    assert len((await contents(stores))[f"board:{XP.name}"]) == 50
    await check_counts(stores)


async def test_periods_that_are_over_leave_every_part(stores: Stores) -> None:
    fold = new_fold()
    for number in range(20):
        credit(fold, f"u{number}", 1, day="2026-10-17")
    await stores.apply(fold)
    wanted = Floors(FLOORS.year, FLOORS.month, FLOORS.week, "2026-10-18")
    assert await stores.writer.raise_floors(stores.generation, wanted) == 1
    assert "xp//day/2026-10-17" not in await stores.writer.board_counts(stores.generation)


async def test_a_dropped_generation_leaves_nothing(stores: Stores) -> None:
    await stores.apply(scores_fold([(f"u{n}", n + 1) for n in range(50)]))
    dead = new_generation(PARTS)
    client: Any = stores.link.client
    for part in dead.parts:
        await client.hset(part.profiles, "a", "s[]")
    assert await stores.generations.orphans() == {dead}
    assert await stores.generations.drop(dead) == PARTS
    assert await stores.generations.all() == {stores.generation}
    assert await stores.generations.clear() > PARTS
    assert await stores.generations.all() == set()


async def test_damage_to_one_part_stops_the_step_in_it(redis_url: str) -> None:
    async with open_stores(redis_url, PARTS) as stores:
        await stores.apply(scores_fold([("b", 7), ("ann", 5)]))
        await lose_board(stores)
        with pytest.raises(Broken):
            await stores.apply(scores_fold([("b", 1), ("ann", 1)]))
        meta = await stores.writer.meta(stores.generation)
        assert meta is not None
        assert meta.parts[stores.generation.part_of("b")].position.sequence == 1


async def test_a_part_that_is_behind_is_brought_to_the_others_first(redis_url: str) -> None:
    async with open_world(redis_url, PARTS) as world:
        await _some_changes(world)
        behind = world.stores.generation.part_of(USERS[0])
        dump = await Dump(redis_url, world.stores, behind).take()
        await _some_changes(world)
        await dump.restore()
        await world.restart()
        apart = world.applier.meta
        assert apart.bound == world.peer.position.sequence
        await _some_changes(world, follow=False)
        await world.follow()
        assert world.applier.meta.bound is None
        await world.check()


async def test_who_does_not_know_that_a_part_fell_behind_starts_again(redis_url: str) -> None:
    async with open_world(redis_url, PARTS) as world:
        dump = await Dump(redis_url, world.stores, 1).take()
        await _some_changes(world)
        await dump.restore()
        await world.writer.credit(USERS[0], 1, DAYS[0], "")
        with pytest.raises(Moved):
            await world.follow()
        await world.restart()
        await world.check()


@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
async def test_parts_at_any_positions_come_to_the_same_boards(
    redis_url: str, data: st.DataObject
) -> None:
    async with open_world(redis_url, PARTS) as world:
        dumps = []
        for _ in range(data.draw(st.integers(1, 3))):
            number = data.draw(st.integers(0, PARTS - 1))
            dumps.append(await Dump(redis_url, world.stores, number).take())
            await _some_changes(world)
        for dump in dumps:
            await dump.restore()
        await world.restart()
        await _some_changes(world, follow=False)
        await world.follow(most=data.draw(st.integers(1, 5)))
        await world.check()


async def _some_changes(world: World, *, follow: bool = True) -> None:
    writer = world.writer
    for user in USERS:
        await writer.credit(user, 3, DAYS[0], "c")
    await writer.profile(USERS[1], hidden=True)
    await writer.reset(XP.name)
    await writer.erase(USERS[2])
    await writer.credit(USERS[2], 2, DAYS[1], "")
    await writer.correct(USERS[3], XP.name, 5)
    if follow:
        await world.follow()
