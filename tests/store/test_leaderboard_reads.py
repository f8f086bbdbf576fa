"""Every answer from Redis equals that of sorting a list."""

import asyncio

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from leaderboard_service.domain.answer import (
    MAX_SCORE,
    After,
    ListAnswer,
    Page,
    RankAnswer,
    TopAnswer,
)
from leaderboard_service.domain.board import Board
from leaderboard_service.domain.fold import Profile
from leaderboard_service.store.reads import AroundAsk, BatchAsk, NotKept, RankAsk, TopAsk
from shared.periods import Window
from tests.leaderboard_model import around, ranking
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

USERS = ["a", "B", "b", "a.b", "a-b", "A_b", "z", "Z9", "10", "9", "u:1", "u:10"]

# Few distinct amounts, so that ties are common.
_steps = st.lists(
    st.one_of(
        st.tuples(st.just("credit"), st.sampled_from(USERS), st.integers(-3, 5)),
        st.tuples(st.just("hide"), st.sampled_from(USERS), st.booleans()),
    ),
    max_size=40,
)


async def _top(stores: Stores, size: int, after: After | None = None, user: str = "") -> TopAnswer:
    (answer,) = await stores.reads.top(stores.generation, [TopAsk(XP, size, after, user)])
    assert isinstance(answer, TopAnswer)
    return answer


async def _rank(stores: Stores, user: str, board: Board = XP) -> RankAnswer:
    (answer,) = await stores.reads.rank(stores.generation, [RankAsk(board, user)])
    assert isinstance(answer, RankAnswer)
    return answer


async def _pages(stores: Stores, size: int) -> list[Page]:
    pages, after = [], None
    while True:
        page = (await _top(stores, size, after)).page
        pages.append(page)
        if not page.more:
            return pages
        after = After(page.entries[-1].score, page.entries[-1].user_id)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(batches=st.lists(_steps, max_size=5), size=st.integers(1, 7), count=st.integers(1, 9))
def test_every_answer_equals_that_of_a_sorted_list(
    redis_url: str, batches: list[list[tuple[str, str, int | bool]]], size: int, count: int
) -> None:
    async def check() -> None:
        scores: dict[str, int] = {}
        profiles: dict[str, Profile] = {}
        async with open_stores(redis_url) as stores:
            for batch in batches:
                fold = scores_fold([])
                for kind, user, value in batch:
                    if kind == "hide":
                        profiles[user] = Profile(f"n{user}", "", hidden=bool(value))
                        fold.profile(user, profiles[user])
                    elif scores.get(user, 0) + value >= 0:
                        scores[user] = scores.get(user, 0) + value
                        credit_all_time(fold, user, int(value))
                await stores.apply(fold)
            board = ranking(scores, profiles)
            pages = await _pages(stores, size)
            assert [entry for page in pages for entry in page.entries] == board
            assert all(len(page.entries) == size for page in pages[:-1])
            await check_users(stores, scores, profiles, count)

    asyncio.run(check())


def credit_all_time(fold: object, user: str, amount: int) -> None:
    fold.credit(  # type: ignore[attr-defined]
        user, amount, metric="xp", course_id="", day="2026-11-20", windows=(1,)
    )


async def check_users(
    stores: Stores, scores: dict[str, int], profiles: dict[str, Profile], count: int
) -> None:
    board = ranking(scores, profiles)
    by_user = {entry.user_id: entry for entry in board}
    for user in USERS:
        answer = await _rank(stores, user)
        assert answer.entry == by_user.get(user)
        assert answer.total == len(board)
        if answer.entry is not None:
            score = answer.entry.score
            assert answer.users_below == sum(entry.score < score for entry in board)
            higher = [entry.score for entry in board if entry.score > score]
            assert answer.score_to_next_rank == (min(higher) - score if higher else 0)
        (near,) = await stores.reads.around(stores.generation, [AroundAsk(XP, user, count)])
        assert isinstance(near, ListAnswer)
        assert list(near.entries) == around(board, user, count)
    (batch,) = await stores.reads.batch(stores.generation, [BatchAsk(XP, tuple(USERS))])
    assert isinstance(batch, ListAnswer)
    assert list(batch.entries) == board


async def test_a_page_goes_on_after_the_last_entry_seen_wherever_that_user_is_now(
    redis_url: str,
) -> None:
    async with open_stores(redis_url) as stores:
        await stores.apply(scores_fold([(user, 10) for user in "abcdef"]))
        first = (await _top(stores, 3)).page
        assert [entry.user_id for entry in first.entries] == ["a", "b", "c"]
        await stores.apply(scores_fold([("c", 5), ("d", -10)]))
        second = await _top(stores, 3, After(10, "c"))
        assert [entry.user_id for entry in second.page.entries] == ["e", "f"]
        assert [entry.rank for entry in second.page.entries] == [2, 2]
        assert not second.page.more


async def test_an_unchanged_page_is_not_read_again(redis_url: str) -> None:
    async with open_stores(redis_url) as stores:
        await stores.apply(scores_fold([("a", 1)]))
        page = (await _top(stores, 5)).page
        assert (await _top(stores, 5)).page is page
        await stores.apply(scores_fold([("b", 2)]))
        again = (await _top(stores, 5)).page
        assert [entry.user_id for entry in again.entries] == ["b", "a"]


async def test_the_largest_scores_are_exact(redis_url: str) -> None:
    async with open_stores(redis_url) as stores:
        await stores.apply(scores_fold([("a", MAX_SCORE), ("b", MAX_SCORE - 1)]))
        await stores.apply(scores_fold([("b", -1)]))
        answer = await _rank(stores, "b")
        assert answer.entry is not None
        assert answer.entry.score == MAX_SCORE - 2
        assert answer.score_to_next_rank == 2
        assert (await _top(stores, 5)).page.entries[0].score == MAX_SCORE


async def test_one_read_answers_many_askers_from_one_moment(redis_url: str) -> None:
    async with open_stores(redis_url) as stores:
        await stores.apply(scores_fold([("a", 3), ("b", 2)]))
        asks = [RankAsk(XP, "a"), RankAsk(XP, "nobody"), RankAsk(XP, "b")]
        answers = await stores.reads.rank(stores.generation, asks)
        ranks = [a.entry.rank if isinstance(a, RankAnswer) and a.entry else None for a in answers]
        assert ranks == [1, None, 2]
        assert len({a.stamp for a in answers if isinstance(a, RankAnswer)}) == 1


async def test_the_users_entry_comes_with_the_page(redis_url: str) -> None:
    async with open_stores(redis_url) as stores:
        fold = scores_fold([("a", 3), ("b", 2), ("c", 2)])
        fold.profile("c", shown("Cleo", "https://example.org/c.png"))
        await stores.apply(fold)
        answer = await _top(stores, 1, user="c")
        assert answer.user is not None
        assert (answer.user.rank, answer.user.display_name) == (2, "Cleo")
        assert (await _top(stores, 1, user="x")).user is None


async def test_a_period_before_the_floor_is_not_answered(redis_url: str) -> None:
    async with open_stores(redis_url) as stores:
        old = Board("xp", "", Window.DAY, "2026-10-16")
        kept = Board("xp", "", Window.DAY, "2026-10-17")
        asks = [RankAsk(old, "a"), RankAsk(kept, "a")]
        first, second = await stores.reads.rank(stores.generation, asks)
        assert isinstance(first, NotKept)
        assert isinstance(second, RankAnswer)


@pytest.mark.parametrize("course", ["", "c-1"])
async def test_a_credit_counts_on_each_board_of_its_date(redis_url: str, course: str) -> None:
    async with open_stores(redis_url) as stores:
        fold = new_fold()
        credit(fold, "a", 7, day="2026-11-20", course=course)
        await stores.apply(fold)
        names = await stores.writer.board_counts(stores.generation)
        periods = ["all_time/", "year/2026", "month/2026-11", "week/2026-W47", "day/2026-11-20"]
        courses = {"", course}
        assert set(names) == {f"xp/{c}/{period}" for c in courses for period in periods}


async def test_names_of_every_script_survive_the_way_through_redis(redis_url: str) -> None:
    async with open_stores(redis_url) as stores:
        name = 'Zoë "Ω" \\ \x01 名前 🦊'
        fold = scores_fold([("a", 1)])
        fold.profile("a", shown(name))
        await stores.apply(fold)
        answer = await _rank(stores, "a")
        assert answer.entry is not None
        assert answer.entry.display_name == name


async def test_a_hidden_user_comes_back_with_what_was_earned_meanwhile(redis_url: str) -> None:
    async with open_stores(redis_url) as stores:
        await stores.apply(scores_fold([("a", 5), ("b", 7)]))
        fold = scores_fold([("a", 1)])
        fold.profile("a", hidden())
        await stores.apply(fold)
        assert [e.user_id for e in (await _top(stores, 5)).page.entries] == ["b"]
        await stores.apply(scores_fold([("a", 10)]))
        fold = scores_fold([])
        fold.profile("a", shown())
        await stores.apply(fold)
        entries = (await _top(stores, 5)).page.entries
        assert [(e.user_id, e.score) for e in entries] == [("a", 16), ("b", 7)]
        assert await stores.link.client.keys("*hidden*") == []
