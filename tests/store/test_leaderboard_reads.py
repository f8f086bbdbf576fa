"""Reading boards from Redis, in one part and in several: pages, ties, names, periods, hiding."""

from collections.abc import AsyncIterator

import pytest

from leaderboard_service.domain.answer import MAX_SCORE, RankAnswer
from leaderboard_service.domain.board import Board
from leaderboard_service.domain.question import After, RankAsk, TopAsk
from leaderboard_service.store.reading import NotKept
from shared.periods import Window
from shared.rank_mode import RankMode
from tests.leaderboard_asks import COMPETITION, around, batch, pages, rank, top
from tests.leaderboard_store import (
    XP,
    Stores,
    credit,
    hidden,
    new_fold,
    open_stores,
    scores_fold,
    shown,
)

TIES = {"a": 50, "b": 50, "c": 30, "d": 30, "e": 10}
IN_MODE = [
    (RankMode.COMPETITION, [1, 1, 3, 3, 5]),
    (RankMode.DENSE, [1, 1, 2, 2, 3]),
    (RankMode.ORDINAL, [1, 2, 3, 4, 5]),
]


@pytest.fixture(params=[1, 3, 16], ids=lambda parts: f"parts={parts}")
async def stores(request: pytest.FixtureRequest, redis_url: str) -> AsyncIterator[Stores]:
    async with open_stores(redis_url, request.param) as found:
        yield found


@pytest.mark.parametrize(("mode", "ranks"), IN_MODE)
async def test_equal_scores_are_numbered_as_the_mode_says(
    stores: Stores, mode: RankMode, ranks: list[int]
) -> None:
    await stores.apply(scores_fold([*TIES.items()]))
    for size in (1, 2, 3, 5):
        entries = [entry for page in await pages(stores, size, mode=mode) for entry in page.entries]
        assert [entry.rank for entry in entries] == ranks
    assert [entry.rank for entry in (await batch(stores, (*TIES,), mode)).entries] == ranks
    assert [entry.rank for entry in (await around(stores, "c", 5, mode)).entries] == ranks
    of_users = [(await rank(stores, user, mode)).entry for user in TIES]
    assert [entry.rank for entry in of_users if entry] == ranks


async def test_a_page_goes_on_after_the_last_entry_seen_wherever_that_user_is_now(
    stores: Stores,
) -> None:
    await stores.apply(scores_fold([(user, 10) for user in "abcdef"]))
    first = (await top(stores, 3)).page
    assert [entry.user_id for entry in first.entries] == ["a", "b", "c"]
    await stores.apply(scores_fold([("c", 5), ("d", -10)]))
    for mode, ranks in (
        (RankMode.ORDINAL, [4, 5]),
        (COMPETITION, [2, 2]),
        (RankMode.DENSE, [2, 2]),
    ):
        second = await top(stores, 3, After(10, "c"), mode=mode)
        assert [entry.user_id for entry in second.page.entries] == ["e", "f"]
        assert [entry.rank for entry in second.page.entries] == ranks
        assert not second.page.more


async def test_an_unchanged_page_is_not_read_again(stores: Stores) -> None:
    await stores.apply(scores_fold([("a", 1), ("z", 1)]))
    page = (await top(stores, 5)).page
    assert (await top(stores, 5)).page is page
    with_user = await top(stores, 5, user="z")
    assert with_user.page is page
    assert with_user.user == page.entries[1]
    await stores.apply(scores_fold([("b", 2)]))
    again = (await top(stores, 5)).page
    assert [entry.user_id for entry in again.entries] == ["b", "a", "z"]


async def test_a_page_is_another_in_another_mode_or_with_other_scores_besides(
    stores: Stores,
) -> None:
    await stores.apply(scores_fold([*TIES.items()]))
    for mode, ranks in IN_MODE:
        for also in ((), (XP,), (XP, XP)):
            for _ in range(2):
                entries = (await top(stores, 5, mode=mode, also=also)).page.entries
                assert [entry.rank for entry in entries] == ranks
                assert {len(entry.also_scores) for entry in entries} == {len(also)}


async def test_scores_on_other_boards_come_with_the_page_and_with_the_added_user(
    stores: Stores,
) -> None:
    today, week = (
        Board("xp", "", Window.DAY, "2026-11-20"),
        Board("xp", "", Window.WEEK, "2026-W47"),
    )
    nobody = Board("marks", "", Window.ALL_TIME, "")
    fold = new_fold()
    credit(fold, "a", 1, day="2026-11-20")
    credit(fold, "b", 5, day="2026-11-19")
    credit(fold, "b", 2, day="2026-11-20")
    credit(fold, "c", 3, day="2025-12-24")
    await stores.apply(fold)
    for _ in range(2):
        answer = await top(stores, 2, user="a", also=(today, week, nobody, today))
        assert [
            (entry.user_id, entry.score, entry.also_scores) for entry in answer.page.entries
        ] == [
            ("b", 7, (2, 7, 0, 2)),
            ("c", 3, (0, 0, 0, 0)),
        ]
        assert answer.user is not None
        assert answer.user.also_scores == (1, 1, 0, 1)
    assert (await top(stores, 2, user="x", also=(today,))).user is None


async def test_a_board_besides_whose_period_is_over_is_not_answered(stores: Stores) -> None:
    await stores.apply(scores_fold([("a", 1)]))
    old = Board("xp", "", Window.DAY, "2026-10-16")
    ask = TopAsk(XP, COMPETITION, 5, also=(old,))
    (outcome,) = await stores.reads.top(stores.generation, [ask])
    assert isinstance(outcome, NotKept)


async def test_the_largest_scores_are_exact(stores: Stores) -> None:
    await stores.apply(scores_fold([("a", MAX_SCORE), ("b", MAX_SCORE - 1)]))
    await stores.apply(scores_fold([("b", -1)]))
    for mode in RankMode:
        answer = await rank(stores, "b", mode)
        assert answer.entry is not None
        assert (answer.entry.rank, answer.entry.score) == (2, MAX_SCORE - 2)
        assert answer.score_to_next_rank == 2
        assert [entry.rank for entry in (await batch(stores, ("a", "b"), mode)).entries] == [1, 2]
    assert (await top(stores, 5)).page.entries[0].score == MAX_SCORE


async def test_one_read_answers_many_askers_from_one_moment(stores: Stores) -> None:
    await stores.apply(scores_fold([("a", 3), ("b", 2)]))
    asks = [RankAsk(XP, COMPETITION, user) for user in ("a", "nobody", "b")]
    answers = await stores.reads.rank(stores.generation, asks)
    ranks = [a.entry.rank if isinstance(a, RankAnswer) and a.entry else None for a in answers]
    assert ranks == [1, None, 2]
    assert len({a.stamp for a in answers if isinstance(a, RankAnswer)}) == 1
    assert {a.total for a in answers if isinstance(a, RankAnswer)} == {2}


async def test_the_users_entry_comes_with_the_page(stores: Stores) -> None:
    fold = scores_fold([("a", 3), ("b", 2), ("c", 2)])
    fold.profile("c", shown("Cleo", "https://example.org/c.png"))
    await stores.apply(fold)
    for mode, number in ((COMPETITION, 2), (RankMode.DENSE, 2), (RankMode.ORDINAL, 3)):
        answer = await top(stores, 1, user="c", mode=mode)
        assert answer.user is not None
        assert (answer.user.rank, answer.user.display_name) == (number, "Cleo")
        assert (await top(stores, 1, user="x", mode=mode)).user is None


async def test_a_batch_of_no_one_and_of_nobody_has_the_boards_size(stores: Stores) -> None:
    await stores.apply(scores_fold([*TIES.items()]))
    for users in ((), ("x", "y")):
        answer = await batch(stores, users)
        assert (answer.entries, answer.total) == ((), 5)


async def test_a_period_before_the_floor_is_not_answered(stores: Stores) -> None:
    old = Board("xp", "", Window.DAY, "2026-10-16")
    kept = Board("xp", "", Window.DAY, "2026-10-17")
    asks = [RankAsk(board, COMPETITION, "a") for board in (old, kept)]
    first, second = await stores.reads.rank(stores.generation, asks)
    assert isinstance(first, NotKept)
    assert isinstance(second, RankAnswer)


@pytest.mark.parametrize("course", ["", "c-1"])
async def test_a_credit_counts_on_each_board_of_its_date(stores: Stores, course: str) -> None:
    fold = new_fold()
    credit(fold, "a", 7, day="2026-11-20", course=course)
    await stores.apply(fold)
    names = await stores.writer.board_counts(stores.generation)
    periods = ["all_time/", "year/2026", "month/2026-11", "week/2026-W47", "day/2026-11-20"]
    courses = {"", course}
    assert set(names) == {f"xp/{c}/{period}" for c in courses for period in periods}


async def test_names_of_every_script_survive_the_way_through_redis(stores: Stores) -> None:
    name = 'Zoë "Ω" \\ \x01 名前 🦊'
    fold = scores_fold([("a", 1)])
    fold.profile("a", shown(name))
    await stores.apply(fold)
    answer = await rank(stores, "a")
    assert answer.entry is not None
    assert answer.entry.display_name == name


async def test_a_hidden_user_comes_back_with_what_was_earned_meanwhile(stores: Stores) -> None:
    await stores.apply(scores_fold([("a", 5), ("b", 7)]))
    fold = scores_fold([("a", 1)])
    fold.profile("a", hidden())
    await stores.apply(fold)
    assert [e.user_id for e in (await top(stores, 5)).page.entries] == ["b"]
    await stores.apply(scores_fold([("a", 10)]))
    fold = scores_fold([])
    fold.profile("a", shown())
    await stores.apply(fold)
    entries = (await top(stores, 5)).page.entries
    assert [(e.user_id, e.score) for e in entries] == [("a", 16), ("b", 7)]
    assert await stores.link.client.keys("*hidden*") == []
