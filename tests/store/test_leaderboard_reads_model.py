"""Every answer from Redis equals that of sorting a list, in every mode, whatever happened to the
scores, and in however many parts the boards are.
"""

import asyncio
from dataclasses import dataclass, field

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from leaderboard_service.domain.answer import Entry
from leaderboard_service.domain.board import Board
from leaderboard_service.domain.fold import Erasure, Fold, Profile
from leaderboard_service.domain.question import After
from shared.periods import Window
from shared.rank_mode import RankMode
from tests import leaderboard_asks as asks
from tests.leaderboard_model import around, ranking
from tests.leaderboard_store import XP, Stores, new_fold, open_stores

USERS = ["a", "B", "b", "a.b", "a-b", "A_b", "z", "Z9", "10", "9", "u:1", "u:10"]
TODAY = Board("xp", "", Window.DAY, "2026-11-20")
YEAR = Board("xp", "", Window.YEAR, "2026")
WINDOWS = {XP: Window.ALL_TIME, TODAY: Window.DAY, YEAR: Window.YEAR}

_users = st.sampled_from(USERS)
# Few distinct scores, so that ties are common; most users have one to begin with.
_scores = st.fixed_dictionaries({user: st.integers(0, 4) for user in USERS})
_start = st.fixed_dictionaries(dict.fromkeys(WINDOWS, _scores))
_step = (
    st.tuples(st.just("credit"), _users, st.integers(-3, 5), st.sampled_from([*WINDOWS]))
    | st.tuples(st.just("hide"), _users, st.booleans())
    | st.tuples(st.just("erase"), _users)
)


@dataclass
class Model:
    """Scores by board and user."""

    stores: Stores
    scores: dict[Board, dict[str, int]] = field(default_factory=dict)
    profiles: dict[str, Profile] = field(default_factory=dict)

    async def start(self, scores: dict[Board, dict[str, int]]) -> None:
        self.scores = scores
        fold = new_fold()
        for board, of_users in scores.items():
            for user, score in of_users.items():
                _add(fold, board, user, score)
        await self.stores.apply(fold)

    async def credit(self, user: str, amount: int, board: Board) -> None:
        score = self.scores[board].get(user, 0) + amount
        if score >= 0:
            self.scores[board][user] = score
            fold = new_fold()
            _add(fold, board, user, amount)
            await self.stores.apply(fold)

    async def hide(self, user: str, hidden: bool) -> None:
        self.profiles[user] = Profile(f"n{user}", "", hidden=hidden)
        fold = new_fold()
        fold.profile(user, self.profiles[user])
        await self.stores.apply(fold)

    async def erase(self, user: str) -> None:
        for scores in self.scores.values():
            scores.pop(user, None)
        self.profiles.pop(user, None)
        await self.stores.apply(Erasure(user))

    def board(self, mode: RankMode, *also: Board) -> list[Entry]:
        return [
            entry._replace(also_scores=tuple(self._score(board, entry.user_id) for board in also))
            for entry in ranking(self.scores[XP], self.profiles, mode)
        ]

    def _score(self, board: Board, user: str) -> int:
        return self.scores[board].get(user, 0)


def _add(fold: Fold, board: Board, user: str, amount: int) -> None:
    windows = (WINDOWS[board],)
    fold.credit(user, amount, metric="xp", course_id="", day="2026-11-20", windows=windows)


@pytest.mark.parametrize("parts", [1, 3, 16])
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    start=_start,
    steps=st.lists(_step, max_size=8),
    mode=st.sampled_from(RankMode),
    size=st.integers(1, 14),
    after=st.tuples(st.integers(1, 9), _users),
)
def test_every_answer_equals_that_of_a_sorted_list(
    redis_url: str,
    parts: int,
    start: dict[Board, dict[str, int]],
    steps: list[tuple[str, *tuple[object, ...]]],
    mode: RankMode,
    size: int,
    after: tuple[int, str],
) -> None:
    async def check() -> None:
        async with open_stores(redis_url, parts) as stores:
            model = Model(stores)
            await model.start({board: dict(scores) for board, scores in start.items()})
            for name, *arguments in steps:
                await getattr(model, name)(*arguments)
            await _check_pages(model, mode, size)
            await _check_page_after(model, mode, size, After(*after))
            await _check_users(model, mode, size)

    asyncio.run(check())


async def _check_pages(model: Model, mode: RankMode, size: int) -> None:
    pages = await asks.pages(model.stores, size, mode=mode, also=(TODAY, YEAR, TODAY))
    entries = [entry for page in pages for entry in page.entries]
    assert entries == model.board(mode, TODAY, YEAR, TODAY)
    assert all(len(page.entries) == size for page in pages[:-1])


async def _check_page_after(model: Model, mode: RankMode, size: int, after: After) -> None:
    page = (await asks.top(model.stores, size, after, mode=mode)).page
    rest = [
        entry
        for entry in model.board(mode)
        if (-entry.score, entry.user_id) > (-after.score, after.user_id)
    ]
    assert list(page.entries) == rest[:size]
    assert page.more == (len(rest) > size)


async def _check_users(model: Model, mode: RankMode, size: int) -> None:
    board = model.board(mode)
    by_user = {entry.user_id: entry for entry in model.board(mode, YEAR)}
    for user in USERS:
        top = await asks.top(model.stores, size, user=user, mode=mode, also=(YEAR,))
        assert (top.user, top.total) == (by_user.get(user), len(board))
        near = await asks.around(model.stores, user, size, mode)
        assert list(near.entries) == around(board, user, size)
        assert near.total == len(board)
        await _check_rank(model, mode, user)
    some = tuple(USERS[::2])
    batch = await asks.batch(model.stores, some, mode)
    assert list(batch.entries) == [entry for entry in board if entry.user_id in some]
    assert batch.total == len(board)


async def _check_rank(model: Model, mode: RankMode, user: str) -> None:
    board = model.board(mode)
    answer = await asks.rank(model.stores, user, mode)
    assert answer.entry == next((entry for entry in board if entry.user_id == user), None)
    assert answer.total == len(board)
    score = answer.entry.score if answer.entry else 0
    higher = [entry.score for entry in board if entry.score > score]
    assert answer.users_below == sum(entry.score < score for entry in board)
    assert answer.score_to_next_rank == (min(higher) - score if higher and score else 0)
