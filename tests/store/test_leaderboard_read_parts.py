"""What readers do about parts that do not agree, and about walks that are too long."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest

from leaderboard_service.domain.answer import Entry, RankAnswer
from leaderboard_service.domain.board import Board
from leaderboard_service.domain.question import After, AroundAsk, BatchAsk, RankAsk, TopAsk
from leaderboard_service.store.boards import Broken, GenerationGone
from leaderboard_service.store.client import RedisLink, Run
from leaderboard_service.store.keys import Part
from leaderboard_service.store.reading import MOST_DISTINCT, NotKept, TooDeep, Uneven
from leaderboard_service.store.reads import BoardReads, Outcome
from shared.periods import Window
from shared.rank_mode import RankMode
from tests.leaderboard_asks import COMPETITION, around, batch, rank, top
from tests.leaderboard_store import XP, Stores, open_stores, scores_fold, shown

DENSE = RankMode.DENSE
USERS = tuple("abcdefghijklmnop")
Ask = Callable[[Stores, RankMode], Awaitable[Outcome]]


async def _rank(stores: Stores, mode: RankMode) -> Outcome:
    return (await stores.reads.rank(stores.generation, [RankAsk(XP, mode, "p")]))[0]


async def _nobody(stores: Stores, mode: RankMode) -> Outcome:
    return (await stores.reads.rank(stores.generation, [RankAsk(XP, mode, "nobody")]))[0]


async def _batch(stores: Stores, mode: RankMode) -> Outcome:
    return (await stores.reads.batch(stores.generation, [BatchAsk(XP, mode, ("p", "o"))]))[0]


async def _top(stores: Stores, mode: RankMode) -> Outcome:
    return (await stores.reads.top(stores.generation, [TopAsk(XP, mode, 3, None, "p")]))[0]


async def _second_page(stores: Stores, mode: RankMode) -> Outcome:
    return (await stores.reads.top(stores.generation, [TopAsk(XP, mode, 3, After(1, "o"))]))[0]


async def _around(stores: Stores, mode: RankMode) -> Outcome:
    return (await stores.reads.around(stores.generation, [AroundAsk(XP, mode, "p", 1)]))[0]


every_ask = pytest.mark.parametrize("ask", [_rank, _nobody, _batch, _top, _second_page, _around])


@pytest.fixture(name="stores")
async def _stores(redis_url: str) -> AsyncIterator[Stores]:
    """Three parts, each of which has someone."""
    async with open_stores(redis_url, 3) as found:
        fold = scores_fold([(user, number) for number, user in enumerate(USERS, 1)])
        for user in USERS:
            fold.profile(user, shown())
        await found.apply(fold)
        assert {found.generation.part_of(user) for user in USERS} == {0, 1, 2}
        yield found


async def _set(stores: Stores, number: int, **fields: Any) -> Part:
    part = stores.generation.parts[number]
    await stores.link.client.hset(part.meta, mapping=fields)
    return part


@every_ask
async def test_parts_at_different_positions_give_no_answer(stores: Stores, ask: Ask) -> None:
    position = stores.meta.position
    at = {"epoch": position.epoch, "sequence": position.sequence}
    for number in range(3):
        for elsewhere in ({"epoch": "2"}, {"sequence": 2}):
            assert not isinstance(await ask(stores, COMPETITION), Exception)
            await _set(stores, number, **(at | elsewhere))
            assert isinstance(await ask(stores, COMPETITION), Uneven)
            await _set(stores, number, **at)


class Interrupted(RedisLink):
    """Something happens after the first question."""

    def __init__(self, url: str, then: Callable[[], Awaitable[Any]]) -> None:
        super().__init__(url, connections=1, timeout_s=10)
        self._then: list[Callable[[], Awaitable[Any]]] = [then]

    async def run_all(self, runs: Sequence[Run]) -> list[Any]:
        answers = await super().run_all(runs)
        while self._then:
            await self._then.pop()()
        return answers


@every_ask
async def test_parts_are_asked_again_when_a_step_was_being_applied(
    stores: Stores, redis_url: str, ask: Ask
) -> None:
    sequence = stores.meta.position.sequence + 1

    async def finish() -> None:
        for number in range(3):
            await _set(stores, number, sequence=sequence)

    await _set(stores, 1, sequence=sequence)
    link = Interrupted(redis_url, finish)
    stores.reads = BoardReads(link)
    outcome = await ask(stores, COMPETITION)
    assert not isinstance(outcome, Exception)
    assert outcome.stamp.position.sequence == sequence
    await link.close()


@every_ask
async def test_a_part_that_has_lost_members_breaks_the_board(stores: Stores, ask: Ask) -> None:
    redis = stores.link.client
    for part in stores.generation.parts:
        ((member, score),) = await redis.zpopmin(part.board(XP.name))
        outcome = await ask(stores, COMPETITION)
        assert isinstance(outcome, Broken)
        assert str(outcome) == XP.name
        await redis.zadd(part.board(XP.name), {member: score})


async def test_a_part_that_has_lost_members_of_a_board_besides_breaks_that(stores: Stores) -> None:
    also = Board("xp", "", Window.DAY, "2026-11-20")
    known = TopAsk(XP, COMPETITION, 3, None, "", (also,))
    await stores.reads.top(stores.generation, [known])
    for number in range(3):
        part = await _set(stores, number, **{f"n:{also.name}": 1})
        (outcome,) = await stores.reads.top(stores.generation, [known])
        assert isinstance(outcome, Broken)
        assert str(outcome) == also.name
        await stores.link.client.hdel(part.meta, f"n:{also.name}")


@every_ask
async def test_without_one_part_the_generation_is_gone(stores: Stores, ask: Ask) -> None:
    redis = stores.link.client
    for part in stores.generation.parts:
        for key in (part.meta, part.profiles):
            await redis.rename(key, f"{key}-away")
            with pytest.raises(GenerationGone):
                await ask(stores, COMPETITION)
            await redis.rename(f"{key}-away", key)


async def test_what_one_part_does_not_keep_is_not_kept(stores: Stores) -> None:
    day = Board("xp", "", Window.DAY, "2026-11-19")
    await rank(stores, "a", board=day)
    await _set(stores, 2, floors="2024 2025-10 2026-W38 2026-11-20")
    for user in USERS:
        (outcome,) = await stores.reads.rank(stores.generation, [RankAsk(day, COMPETITION, user)])
        assert isinstance(outcome, NotKept)


async def test_an_answer_is_as_fresh_as_the_part_that_was_confirmed_first(stores: Stores) -> None:
    for number, confirmed_us in enumerate((300, 200, 400)):
        await _set(stores, number, confirmed_us=confirmed_us)
    assert (await rank(stores, "a")).stamp.confirmed_us == 200
    assert (await top(stores, 3)).stamp.confirmed_us == 200


@asynccontextmanager
async def _ladder(url: str, parts: int, rungs: int) -> AsyncIterator[tuple[Stores, list[str]]]:
    """So many users of part 0, each with a score of one less than the one before, and below them
    "last", who is of another part if there is one.
    """
    async with open_stores(url, parts) as stores:
        part_of = stores.generation.part_of
        users = [user for user in map("u{}".format, range(9999)) if not part_of(user)][:rungs]
        await stores.apply(scores_fold([(user, 1 + rungs - i) for i, user in enumerate(users)]))
        last = next(user for user in map("v{}".format, range(99)) if part_of(user) == parts - 1)
        await stores.apply(scores_fold([(last, 1)]))
        yield stores, [*users, last]


@pytest.mark.parametrize("parts", [1, 3])
async def test_a_dense_rank_below_too_many_scores_is_not_looked_for(
    redis_url: str, parts: int
) -> None:
    async with _ladder(redis_url, parts, MOST_DISTINCT + 1) as (stores, users):
        near, far = users[MOST_DISTINCT], users[MOST_DISTINCT + 1]
        assert (await rank(stores, near, DENSE)).entry == Entry(
            MOST_DISTINCT + 1, near, 2, near, ""
        )
        assert (await batch(stores, (near,), DENSE)).entries[0].rank == MOST_DISTINCT + 1
        assert (await around(stores, near, 1, DENSE)).entries[0].rank == MOST_DISTINCT + 1
        page = (await top(stores, 3, After(2, near), mode=DENSE)).page
        assert [entry.rank for entry in page.entries] == [MOST_DISTINCT + 2]
        reads, generation = stores.reads, stores.generation
        outcomes = [
            *await reads.rank(generation, [RankAsk(XP, DENSE, far)]),
            *await reads.batch(generation, [BatchAsk(XP, DENSE, (near, far))]),
            *await reads.top(generation, [TopAsk(XP, DENSE, 3, After(1, far))]),
            *await reads.top(generation, [TopAsk(XP, DENSE, 3, None, far)]),
        ]
        assert [type(outcome) for outcome in outcomes] == [TooDeep] * 4


async def test_one_who_asks_for_too_much_spoils_no_ones_answer(redis_url: str) -> None:
    async with _ladder(redis_url, 1, MOST_DISTINCT + 1) as (stores, users):
        asks = [RankAsk(XP, DENSE, user) for user in (users[-1], users[5], users[-1], users[0])]
        asks += [RankAsk(XP, COMPETITION, users[-1])]
        outcomes = await stores.reads.rank(stores.generation, asks)
        ranks = [
            one.entry.rank if isinstance(one, RankAnswer) and one.entry else 0 for one in outcomes
        ]
        assert ranks == [0, 6, 0, 1, MOST_DISTINCT + 2]
        ask = AroundAsk(XP, DENSE, users[-1], 1)
        (around_last,) = await stores.reads.around(stores.generation, [ask])
        assert isinstance(around_last, TooDeep)
        # What is listed need not be walked through.
        near = await around(stores, users[-1], 2, DENSE)
        assert [entry.rank for entry in near.entries] == [MOST_DISTINCT + 1, MOST_DISTINCT + 2]
