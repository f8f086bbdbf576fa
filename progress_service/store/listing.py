"""A page of a board with all that is asked of it, read in one transaction."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from sqlalchemy.ext.asyncio import AsyncConnection

from progress_service.store import standings
from progress_service.store.standings import Board, BoardKey, Standing
from shared.rank_mode import RankMode


@dataclass(frozen=True, slots=True)
class Wanted:
    """Up to `size` standings: after a (score, user_id), or with a user in the middle, or from
    the top. `user_id`: one more user's standing. `also`: boards whose scores each standing gets.
    """

    key: BoardKey
    mode: RankMode
    size: int
    after: tuple[int, str] | None = None
    around_user_id: str = ""
    user_id: str = ""
    also: tuple[BoardKey, ...] = ()


@dataclass(frozen=True, slots=True)
class Listing:
    """`more`: the board goes on after them; `users`: how many it lists in all."""

    standings: list[Standing]
    more: bool = False
    users: int = 0
    user: Standing | None = None


async def read(connection: AsyncConnection, wanted: Wanted) -> Listing:
    """The page; empty for a board that nothing was ever counted on."""
    board = await standings.find_board(connection, wanted.key)
    if board is None:
        return Listing([])
    page = await _page(connection, board, wanted)
    own: list[Standing] = []
    if wanted.user_id:
        own = await standings.load_of_users(connection, board, wanted.mode, [wanted.user_id])
    more, page = len(page) > wanted.size, page[: wanted.size]
    if wanted.also:
        both = await _with_scores(connection, wanted.also, [*page, *own])
        page, own = both[: len(page)], both[len(page) :]
    return Listing(page, more, board.users, own[0] if own else None)


async def _page(connection: AsyncConnection, board: Board, wanted: Wanted) -> list[Standing]:
    """The page, and one more standing where the board goes on."""
    if wanted.around_user_id:
        return await standings.load_around(
            connection, board, wanted.mode, wanted.around_user_id, wanted.size
        )
    return await standings.load_page(connection, board, wanted.mode, wanted.size + 1, wanted.after)


async def _with_scores(
    connection: AsyncConnection, also: Sequence[BoardKey], found: Sequence[Standing]
) -> list[Standing]:
    scores = await standings.load_scores(connection, also, [one.user_id for one in found])
    return [replace(one, also_scores=scores[one.user_id]) for one in found]
