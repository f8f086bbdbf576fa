"""Comparing boards with PostgreSQL: step by step, with Redis held wherever a test wants it."""

import random
from collections.abc import AsyncIterator

import pytest

from leaderboard_service.domain.answer import Position
from leaderboard_service.domain.board import BoardNames, Floors
from leaderboard_service.domain.expected import Difference, Due, Kind
from leaderboard_service.domain.fold import Fold
from leaderboard_service.history import MAX_HELD
from leaderboard_service.store.boards import Broken, FloorsRaised, GenerationGone, Moved
from leaderboard_service.store.checks import BoardChecks, Mend, PartState
from tests.board_comparison import compare, snapshot
from tests.board_damage import Hand
from tests.leaderboard_damage import lose_board, lose_hidden, lose_meta, lose_profiles
from tests.leaderboard_store import FLOORS, XP, Stores, check_counts, contents, hidden, shown
from tests.leaderboard_world import BOARDS, DAYS, USERS, World, open_world


@pytest.fixture
async def world(redis_url: str) -> AsyncIterator[World]:
    async with open_world(redis_url, 3) as found:
        yield found


async def test_who_is_erased_meanwhile_does_not_differ(world: World) -> None:
    writer = world.writer
    await writer.credit("a", 5, DAYS[0], "")
    await world.follow()
    taken = await snapshot(world)
    await writer.credit("a", 3, DAYS[0], "")
    await writer.credit("z", 2, DAYS[0], "c")
    await writer.profile("a", hidden=True)
    await world.follow()
    # Redis has what the history does not tell any more.
    for user in ("a", "z"):
        await writer.erase(user)
    assert await compare(world, taken) == []
    await world.follow()
    assert await compare(world, await snapshot(world)) == []


async def test_who_is_erased_before_redis_heard_of_everything_does_not_differ(world: World) -> None:
    writer = world.writer
    for user in ("a", "z"):
        await writer.credit(user, 5, DAYS[0], "c")
    taken = await snapshot(world)
    for user in ("a", "z"):
        await writer.erase(user)
    # Redis never hears of what PostgreSQL had counted then.
    await world.follow(most=taken[1].sequence)
    assert world.applier.meta.position == taken[1]
    assert await compare(world, taken) == []


@pytest.mark.parametrize("seed", range(4))
async def test_wherever_redis_is_nothing_differs(redis_url: str, seed: int) -> None:
    chance = random.Random(seed)
    async with open_world(redis_url, chance.choice([1, 3])) as world:
        for _ in range(12):
            await act(world, chance, chance.randrange(12))
            await world.follow(most=chance.randrange(1, 20))
            taken = await snapshot(world)
            await act(world, chance, chance.randrange(12))
            while world.applier.meta.position.sequence < taken[1].sequence:
                await world.follow(most=chance.randrange(1, 20))
            assert await compare(world, taken, repair=chance.random() < 0.5) == []
        await world.check()


async def act(world: World, chance: random.Random, times: int) -> None:
    writer = world.writer
    for _ in range(times):
        user, board = chance.choice(USERS), chance.choice(BOARDS)
        match chance.randrange(12):
            case 0 | 1:
                await writer.erase(user)
            case 2:
                await writer.reset(board)
            case 3:
                await writer.correct(user, board, chance.randrange(9))
            case 4 | 5:
                await writer.profile(user, hidden=chance.random() < 0.6)
            case 6:
                await writer.revoke(chance.randrange(99))
            case _:
                day, course = chance.choice(DAYS), chance.choice(["", "c"])
                await writer.credit(user, chance.randint(1, 9), day, course)


async def test_what_is_mended_while_redis_goes_on_is_right_where_it_is_then(world: World) -> None:
    for user in USERS:
        await world.writer.credit(user, 5, DAYS[0], "c")
    await world.writer.profile("z", hidden=True)
    await world.follow()
    await spoil(world.stores, "a", 70)
    taken = await snapshot(world)
    await world.writer.credit("a", 3, DAYS[0], "")
    await world.writer.credit("B", 3, DAYS[0], "")
    await world.follow()
    (found,) = await compare(world, taken, repair=True)
    assert found == Difference(Kind.SCORE, XP.name, "a", 8, 73)
    await world.writer.credit("a", 1, DAYS[0], "")
    await world.check()


async def test_a_snapshot_is_moved_far_without_holding_all_of_the_way(world: World) -> None:
    for user in USERS:
        await world.writer.credit(user, 5, DAYS[0], "c")
    await world.follow()
    taken = await snapshot(world)
    for _ in range(2 * MAX_HELD):
        await world.writer.credit("a", 1, DAYS[0], "")
    while world.applier.meta.position.sequence < len(world.peer.changes):
        await world.follow()
    assert await compare(world, taken) == []
    assert taken[0].sequence == len(world.peer.changes)


async def test_on_a_cluster_damage_is_found_and_mended(redis_cluster_url: str) -> None:
    async with open_world(redis_cluster_url, 5) as world:
        for user in USERS:
            await world.writer.credit(user, 5, DAYS[0], "c")
        await world.writer.profile("z", hidden=True)
        await world.follow()
        for user in USERS[:2]:
            await spoil(world.stores, user, 70)
        found = await compare(world, await snapshot(world), repair=True)
        assert {one.user_id for one in found} == set(USERS[:2])
        boards = await BoardChecks(world.stores.link).boards(world.stores.generation)
        assert boards[XP.name] == 3
        await world.check()


async def spoil(stores: Stores, user: str, score: int) -> None:
    part = stores.generation.parts[stores.generation.part_of(user)]
    client = stores.link.client
    await client.zadd(part.board(XP.name), {user: -score})


async def test_a_mend_is_of_one_position_and_floors_or_changes_nothing(world: World) -> None:
    for user in USERS:
        await world.writer.credit(user, 5, DAYS[0], "c")
    await world.follow()
    stores, checks = world.stores, BoardChecks(world.stores.link)
    before = await contents(stores)
    part = stores.generation.part_of("a")
    (state,) = [(await checks.look_up(stores.generation, part, XP.name, ())).part]
    mends = [Mend(XP.name, "a", Due(9, hidden=False))]
    sequence, epoch = state.position.sequence, state.position.epoch
    for other in (Position(epoch, sequence - 1), Position("other", sequence)):
        with pytest.raises(Moved) as moved:
            await checks.mend(stores.generation, _at(state, other), mends)
        assert moved.value.position == state.position
    higher = Floors("2026", "2026-11", "2026-W47", "2026-11-20")
    with pytest.raises(FloorsRaised):
        await checks.mend(stores.generation, PartState(part, state.position, higher, 0), mends)
    assert await contents(stores) == before
    assert await checks.mend(stores.generation, state, mends) == 1
    assert await checks.mend(stores.generation, state, mends) == 0
    assert await scores_of(stores) == {user: 9 if user == "a" else 5 for user in USERS}
    await check_counts(stores)
    meta = await stores.writer.meta(stores.generation)
    assert meta is not None
    assert meta.position == state.position
    assert meta.parts[part].confirmed_us == world.applier.meta.parts[part].confirmed_us


def _at(state: PartState, position: Position) -> PartState:
    return PartState(state.number, position, state.floors, state.built_us)


async def scores_of(stores: Stores) -> dict[str, int]:
    return {
        user: -int(score) for user, score in (await contents(stores))[f"board:{XP.name}"].items()
    }


async def test_a_mend_sets_both_places_and_the_counts(world: World) -> None:
    stores, checks = world.stores, BoardChecks(world.stores.link)
    await with_profiles(stores)
    spoiler = Hand(stores.link.client, stores.generation)
    for user, due, on_board, beside in [
        ("shown", Due(7, hidden=False), 7, None),
        ("shown", Due(7, hidden=None), 7, None),
        ("shown", Due(0, hidden=False), None, None),
        ("hidden", Due(7, hidden=True), None, "7"),
        ("hidden", Due(7, hidden=None), None, "7"),
        ("hidden", Due(0, hidden=True), None, None),
        ("unknown", Due(0, hidden=None), None, None),
    ]:
        number = stores.generation.part_of(user)
        part = stores.generation.parts[number]
        state = (await checks.look_up(stores.generation, number, "", ())).part
        for wrong in ("put", "keep", "remove", "forget"):
            match wrong:
                case "put":
                    await spoiler.put(XP.name, user, 99)
                case "keep":
                    await spoiler.keep(XP.name, user, 99)
                case "remove":
                    await spoiler.remove(XP.name, user)
                case _:
                    await spoiler.forget(XP.name, user)
            await checks.mend(stores.generation, state, [Mend(XP.name, user, due)])
            score = await stores.link.client.zscore(part.board(XP.name), user)
            assert (None if score is None else -score) == on_board
            assert await stores.link.client.hget(part.hidden(user), XP.name) == beside
            await check_counts(stores)


async def with_profiles(stores: Stores) -> None:
    fold = Fold(BoardNames(FLOORS))
    fold.profile("shown", shown())
    fold.profile("hidden", hidden())
    await stores.apply(fold)


async def test_what_a_mend_cannot_make_right_it_leaves(world: World) -> None:
    stores, checks = world.stores, BoardChecks(world.stores.link)
    await with_profiles(stores)
    before = await contents(stores)
    for user, due in [
        ("unknown", Due(7, hidden=None)),
        ("shown", Due(7, hidden=True)),
        ("hidden", Due(7, hidden=False)),
        ("shown", Due(2**53, hidden=None)),
    ]:
        number = stores.generation.part_of(user)
        state = (await checks.look_up(stores.generation, number, XP.name, ())).part
        with pytest.raises(Broken):
            await checks.mend(stores.generation, state, [Mend(XP.name, user, due)])
    assert await contents(stores) == before


async def test_a_part_that_has_lost_something_is_told_apart(world: World) -> None:
    for user in ("b", "h"):
        await world.writer.credit(user, 5, DAYS[0], "c")
    await world.writer.profile("h", hidden=True)
    await world.follow()
    stores, checks = world.stores, BoardChecks(world.stores.link)
    generation = stores.generation
    part = generation.part_of("b")
    await lose_board(stores)
    chunk = await checks.scan_boards(generation, part, {XP.name: "0"})
    assert [(one.miscounted, one.scores) for one in chunk.boards] == [(True, [])]
    await lose_hidden(stores)
    found = await checks.scan_hidden(generation, generation.part_of("h"), [XP.name], "0")
    assert (found.scores, found.miscounted) == ([], ["h"])
    await lose_profiles(stores)
    with pytest.raises(Broken):
        await checks.look_up(generation, part, XP.name, ["b"])
    await lose_meta(stores)
    with pytest.raises(GenerationGone):
        await checks.scan_boards(generation, part, {XP.name: "0"})


async def test_a_period_that_is_dropped_meanwhile_is_left_out(world: World) -> None:
    await world.writer.credit("a", 5, DAYS[0], "")
    await world.follow()
    taken = await snapshot(world)
    raised = Floors("2027", "2027-01", "2027-W01", "2027-01-01")
    await world.stores.writer.raise_floors(world.stores.generation, raised)
    # Nobody reads what may be left of one.
    part = world.stores.generation.parts[world.stores.generation.part_of("a")]
    left = part.board(BOARDS[1])
    await world.stores.link.client.zadd(left, {"a": -77})
    assert await compare(world, taken, repair=True) == []
    await world.stores.link.client.delete(left)
    assert set(await contents(world.stores)) == {"profiles", f"board:{XP.name}"}
