"""Erasures, resets and corrections reach the boards once or not at all, with exact counts."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from leaderboard_service.domain.answer import MAX_SCORE, Position
from leaderboard_service.domain.board import Floors
from leaderboard_service.domain.fold import Correction, Erasure, Lone, Reset, Step
from leaderboard_service.store.boards import (
    Advance,
    Broken,
    FloorsRaised,
    GenerationGone,
    Moved,
)
from tests.leaderboard_damage import (
    lose_board,
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
    check_counts,
    contents,
    credit,
    hidden,
    new_fold,
    open_stores,
    scores_fold,
    shown,
)

DAY = "xp//day/2026-11-20"
OLD_DAY = "xp//day/2026-10-16"
STEPS: list[Lone] = [Erasure("a"), Reset(XP.name), Correction(XP.name, "a", 4)]


async def _fill(stores: Stores) -> None:
    """a 5 and b 7 are shown, h 9 is hidden; each counts on five boards."""
    fold = new_fold()
    for user, amount in [("a", 5), ("b", 7), ("h", 9)]:
        credit(fold, user, amount)
        fold.profile(user, hidden() if user == "h" else shown(user.upper()))
    await stores.apply(fold)


async def _scores(stores: Stores, board: str) -> dict[str, float]:
    found = (await contents(stores)).get(f"board:{board}", {})
    return {user: -score for user, score in found.items()}


async def _kept(stores: Stores, user: str) -> dict[str, str]:
    return (await contents(stores)).get(f"hidden:{user}", {})


@pytest.mark.parametrize("user", ["a", "h"])
async def test_an_erased_user_is_nowhere(redis_url: str, user: str) -> None:
    async with open_stores(redis_url) as stores:
        await _fill(stores)
        await stores.apply(Erasure(user))
        left = {"a": 5, "b": 7} if user == "h" else {"b": 7}
        assert await _scores(stores, XP.name) == left
        for holds in (await contents(stores)).values():
            assert user not in dict(holds)
        assert await _kept(stores, user) == {}
        await check_counts(stores)


async def test_a_user_whom_nobody_knows_can_be_erased(redis_url: str) -> None:
    async with open_stores(redis_url) as stores:
        await _fill(stores)
        before = await contents(stores)
        await stores.apply(Erasure("nobody"))
        assert await contents(stores) == before
        assert stores.meta == await stores.writer.meta(stores.generation)
        assert stores.meta.position.sequence == 2


async def test_the_last_user_can_be_erased(redis_url: str) -> None:
    async with open_stores(redis_url) as stores:
        await _fill(stores)
        for user in "abh":
            await stores.apply(Erasure(user))
        assert await contents(stores) == {}
        await check_counts(stores)
        await _fill(stores)
        assert await _scores(stores, DAY) == {"a": 5, "b": 7}


async def test_a_reset_board_begins_at_zero_and_others_go_on(redis_url: str) -> None:
    async with open_stores(redis_url) as stores:
        await _fill(stores)
        await stores.apply(Reset(DAY))
        assert await _scores(stores, DAY) == {}
        assert DAY not in await _kept(stores, "h")
        assert await _scores(stores, XP.name) == {"a": 5, "b": 7}
        assert (await _kept(stores, "h"))[XP.name] == "9"
        await check_counts(stores)
        fold = new_fold()
        credit(fold, "h", 2)
        fold.profile("h", shown())
        await stores.apply(fold)
        assert await _scores(stores, DAY) == {"h": 2}
        assert await _scores(stores, XP.name) == {"a": 5, "b": 7, "h": 11}
        await check_counts(stores)


@pytest.mark.parametrize("board", [OLD_DAY, "xp/nowhere/all_time/"])
async def test_a_reset_of_a_board_that_is_not_there_moves_the_position(
    redis_url: str, board: str
) -> None:
    async with open_stores(redis_url) as stores:
        await _fill(stores)
        before = await contents(stores)
        await stores.apply(Reset(board))
        assert await contents(stores) == before
        assert stores.meta.position == Position(EPOCH, 2)
        await check_counts(stores)


@pytest.mark.parametrize("score", [0, 1, 5, MAX_SCORE])
@pytest.mark.parametrize("user", ["a", "h"])
async def test_a_correction_sets_one_score_exactly(redis_url: str, user: str, score: int) -> None:
    async with open_stores(redis_url) as stores:
        await _fill(stores)
        await stores.apply(Correction(DAY, user, score))
        found = {"a": 5, "b": 7} | ({"a": score} if user == "a" else {})
        assert await _scores(stores, DAY) == {u: s for u, s in found.items() if s}
        kept = await _kept(stores, "h")
        assert kept.get(DAY, "0") == (str(score) if user == "h" else "9")
        assert kept[XP.name] == "9"
        await check_counts(stores)


async def test_a_correction_may_put_the_first_user_on_a_board(redis_url: str) -> None:
    async with open_stores(redis_url) as stores:
        await _fill(stores)
        board = "xp/c/year/2026"
        await stores.apply(Correction(board, "a", 3))
        await stores.apply(Correction(board, "h", 4))
        assert await _scores(stores, board) == {"a": 3}
        assert (await _kept(stores, "h"))[board] == "4"
        await check_counts(stores)


async def test_a_correction_of_a_period_that_is_not_kept_moves_the_position(redis_url: str) -> None:
    async with open_stores(redis_url) as stores:
        await _fill(stores)
        before = await contents(stores)
        await stores.apply(Correction(OLD_DAY, "a", 3))
        await stores.apply(Correction(OLD_DAY, "h", 3))
        assert await contents(stores) == before
        assert stores.meta.position.sequence == 3


@pytest.mark.parametrize(
    "correction",
    [
        Correction(DAY, "nobody", 1),
        Correction(DAY, "a", -1),
        Correction(DAY, "h", MAX_SCORE + 1),
    ],
)
async def test_a_correction_that_cannot_be_right_means_a_rebuild(
    redis_url: str, correction: Correction
) -> None:
    async with open_stores(redis_url) as stores:
        await _fill(stores)
        before = await contents(stores)
        with pytest.raises(Broken):
            await stores.apply(correction)
        assert await contents(stores) == before
        assert (await stores.writer.meta(stores.generation)) == stores.meta


@pytest.mark.parametrize("step", STEPS)
async def test_a_step_that_is_taken_twice_counts_once(redis_url: str, step: Lone) -> None:
    async with open_stores(redis_url) as stores:
        await _fill(stores)
        before = stores.meta
        await stores.apply(step)
        await _fill(stores)
        after = await contents(stores)
        with pytest.raises(Moved):
            await stores.writer.apply(
                stores.generation, before, step, Advance(Position(EPOCH, 2), 1, 1)
            )
        assert await contents(stores) == after


async def test_of_two_who_race_over_steps_one_takes_each(redis_url: str) -> None:
    async with open_stores(redis_url) as stores:
        steps: list[Step] = [scores_fold([("a", 1), ("b", 1)]), Reset(XP.name)]
        steps += [scores_fold([("a", 2)]), Correction(XP.name, "a", 7)]
        steps += [scores_fold([("a", 1)]), Erasure("b")]
        introduction = new_fold()
        introduction.profile("a", shown())
        await stores.apply(introduction)

        async def follow() -> None:
            meta = stores.meta
            while (done := meta.position.sequence - 1) < 60:
                advance = Advance(Position(EPOCH, meta.position.sequence + 1), 1, 1)
                try:
                    step = steps[done % len(steps)]
                    meta = await stores.writer.apply(stores.generation, meta, step, advance)
                except Moved:
                    found = await stores.writer.meta(stores.generation)
                    assert found is not None
                    meta = found

        await asyncio.gather(follow(), follow(), follow())
        assert await _scores(stores, XP.name) == {"a": 8}
        await check_counts(stores)


@pytest.mark.parametrize("step", STEPS)
async def test_a_step_that_expects_other_floors_changes_nothing(redis_url: str, step: Lone) -> None:
    async with open_stores(redis_url) as stores:
        await _fill(stores)
        wanted = Floors("2025", FLOORS.month, FLOORS.week, FLOORS.day)
        await stores.writer.raise_floors(stores.generation, wanted)
        before = await contents(stores)
        with pytest.raises(FloorsRaised):
            await stores.apply(step)
        assert await contents(stores) == before


@pytest.mark.parametrize(
    ("lose", "step", "noticed"),
    [
        *(
            (lose, step, Broken)
            for lose in (lose_board, lose_member, replace_board)
            for step in STEPS
        ),
        *((lose_profiles, step, Broken) for step in STEPS),
        (lose_hidden, Erasure("h"), Broken),
        (lose_hidden, Reset(DAY), Broken),
        (lose_hidden, Correction(DAY, "h", 1), Broken),
        *((lose_meta, step, GenerationGone) for step in STEPS),
    ],
)
async def test_lost_keys_are_noticed_before_a_step_writes_anything(
    redis_url: str,
    lose: Callable[[Stores], Awaitable[None]],
    step: Lone,
    noticed: type[Exception],
) -> None:
    async with open_stores(redis_url) as stores:
        await _fill(stores)
        await lose(stores)
        client = stores.link.client
        before = {key: await client.dump(key) for key in await client.keys("*")}
        with pytest.raises(noticed):
            await stores.apply(step)
        assert {key: await client.dump(key) for key in await client.keys("*")} == before


async def test_a_credit_leaves_out_excluded_boards_of_hidden_users_too(redis_url: str) -> None:
    async with open_stores(redis_url) as stores:
        await _fill(stores)
        await stores.apply(Reset(DAY))
        fold = new_fold()
        for user, amount in [("a", -5), ("h", -9)]:
            fold.credit(
                user,
                amount,
                metric="xp",
                course_id="",
                day="2026-11-20",
                excluded=frozenset({DAY}),
            )
        await stores.apply(fold)
        assert await _scores(stores, DAY) == {}
        assert await _scores(stores, XP.name) == {"b": 7}
        assert await _kept(stores, "h") == {}
        await check_counts(stores)
