"""Questions to the stores of LeaderboardService that must be answered."""

from typing import Any

from leaderboard_service.domain.answer import ListAnswer, Page, RankAnswer, TopAnswer
from leaderboard_service.domain.board import Board
from leaderboard_service.domain.question import After, AroundAsk, BatchAsk, RankAsk, TopAsk
from shared.rank_mode import RankMode
from tests.leaderboard_store import XP, Stores

COMPETITION = RankMode.COMPETITION


async def top(
    stores: Stores, size: int, after: After | None = None, user: str = "", **other: Any
) -> TopAnswer:
    """`other`: `mode`, `also`, and `board`."""
    ask = TopAsk(
        other.get("board", XP),
        other.get("mode", COMPETITION),
        size,
        after,
        user,
        other.get("also", ()),
    )
    (answer,) = await stores.reads.top(stores.generation, [ask])
    assert isinstance(answer, TopAnswer), answer
    return answer


async def rank(
    stores: Stores, user: str, mode: RankMode = COMPETITION, board: Board = XP
) -> RankAnswer:
    (answer,) = await stores.reads.rank(stores.generation, [RankAsk(board, mode, user)])
    assert isinstance(answer, RankAnswer), answer
    return answer


async def around(stores: Stores, user: str, count: int, mode: RankMode = COMPETITION) -> ListAnswer:
    (answer,) = await stores.reads.around(stores.generation, [AroundAsk(XP, mode, user, count)])
    assert isinstance(answer, ListAnswer), answer
    return answer


async def batch(stores: Stores, users: tuple[str, ...], mode: RankMode = COMPETITION) -> ListAnswer:
    (answer,) = await stores.reads.batch(stores.generation, [BatchAsk(XP, mode, users)])
    assert isinstance(answer, ListAnswer), answer
    return answer


async def pages(stores: Stores, size: int, **other: Any) -> list[Page]:
    """The whole board, page by page."""
    found: list[Page] = []
    after = None
    while True:
        page = (await top(stores, size, after, **other)).page
        found.append(page)
        if not page.more:
            return found
        after = After(page.entries[-1].score, page.entries[-1].user_id)
