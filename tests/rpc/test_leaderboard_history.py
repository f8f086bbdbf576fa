"""Whatever the history holds, and however it arrives: the boards are what it comes to."""

import asyncio

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.leaderboard_world import BOARDS, DAYS, USERS, World, open_world

_user = st.sampled_from(USERS)
_board = st.sampled_from(BOARDS)
_write = st.one_of(
    st.tuples(
        st.just("credit"),
        _user,
        st.integers(1, 5),
        st.sampled_from(DAYS),
        st.sampled_from(["", "c"]),
    ),
    st.tuples(st.just("revoke"), st.integers(0, 9)),
    st.tuples(st.just("profile"), _user, st.booleans()),
    st.tuples(st.just("reset"), _board),
    st.tuples(st.just("erase"), _user),
    st.tuples(st.just("correct"), _user, _board, st.integers(0, 3)),
)
_read = st.one_of(
    st.tuples(
        st.just("follow"), st.integers(0, 4), st.integers(1, 9), st.sampled_from([1, 15, 99])
    ),
    st.tuples(st.just("race"), st.integers(1, 30)),
    st.tuples(st.just("restart")),
    st.tuples(st.just("rebuild"), st.integers(0, 2)),
)


@settings(
    max_examples=70, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(steps=st.lists(_write | _write | _write | _read, min_size=5, max_size=60))
@pytest.mark.parametrize("parts", [1, 3])
def test_the_boards_are_what_the_history_comes_to(
    redis_url: str, parts: int, steps: list[tuple[str, *tuple[object, ...]]]
) -> None:
    async def check() -> None:
        async with open_world(redis_url, parts) as world:
            for user in USERS:
                await world.writer.credit(user, 3, DAYS[0], "c")
                await world.writer.credit(user, 2, DAYS[1], "")
            for name, *arguments in steps:
                actor: object = world if hasattr(World, name) else world.writer
                await getattr(actor, name)(*arguments)
            await world.check()

    asyncio.run(check())


async def test_who_was_overtaken_within_a_step_goes_on_from_there(redis_url: str) -> None:
    async with open_world(redis_url) as world:
        for _ in range(5):
            await world.writer.credit("a", 1, DAYS[0], "")
        slow = await world.new_applier()
        await world.follow(most=2)
        await slow.take(world.peer.message(0))
        assert slow.meta.position.sequence == len(world.peer.changes)
        await world.check()
