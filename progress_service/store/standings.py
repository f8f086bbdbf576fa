"""Boards as PostgreSQL folds them: pages, ranks, and the neighbourhood of a user.

Every rank is a count of users above. It is a sum over the board's buckets, plus a count
within one bucket, so it never walks the whole board (see board_buckets).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.periods import Window


@dataclass(frozen=True, slots=True)
class BoardKey:
    """A board with everything spelled out; `course_id` empty: across courses."""

    metric: str
    course_id: str
    window: Window
    period: str

    @property
    def name(self) -> str:
        """As in page tokens and Redis keys; '/' occurs in no id."""
        return f"{self.metric}/{self.course_id}/{self.window.name.lower()}/{self.period}"


@dataclass(frozen=True, slots=True)
class Standing:
    """One listed user. Counts are of listed users with a higher, or a lower, score."""

    user_id: str
    score: int
    rank: int
    display_name: str
    avatar_url: str
    users_below: int = 0
    score_to_next_rank: int = 0


_BOARD = text(
    """SELECT b.board_id,
              (SELECT coalesce(sum(k.users), 0) FROM board_buckets k
               WHERE k.board_id = b.board_id)::bigint AS users
       FROM boards b
       WHERE b.metric = :metric AND b.course_id = :course_id
         AND b.board_window = :window AND b.period = :period"""
)
_LISTED = "s.board_id = :board_id AND s.score > 0 AND NOT s.hidden"
# Two ranges of standings_rank instead of one OR, so that each is an index range.
_AFTER = f"""
    SELECT r.user_id, r.score FROM (
        (SELECT s.user_id, s.score FROM standings s
         WHERE {_LISTED} AND s.score = :score AND s.user_id > :user_id
         ORDER BY s.user_id LIMIT :limit)
        UNION ALL
        (SELECT s.user_id, s.score FROM standings s
         WHERE {_LISTED} AND s.score < :score
         ORDER BY s.score DESC, s.user_id LIMIT :limit)
    ) r ORDER BY r.score DESC, r.user_id LIMIT :limit
"""
_BEFORE = f"""
    SELECT r.user_id, r.score FROM (
        (SELECT s.user_id, s.score FROM standings s
         WHERE {_LISTED} AND s.score = :score AND s.user_id < :user_id
         ORDER BY s.user_id DESC LIMIT :limit)
        UNION ALL
        (SELECT s.user_id, s.score FROM standings s
         WHERE {_LISTED} AND s.score > :score
         ORDER BY s.score, s.user_id DESC LIMIT :limit)
    ) r ORDER BY r.score, r.user_id DESC LIMIT :limit
"""
_WITH_PROFILES = """
    SELECT p.user_id, page.score, p.display_name, p.avatar_url
    FROM ({page}) page JOIN profiles p USING (user_id)
    ORDER BY page.score DESC, p.user_id
"""
_PAGE_AFTER = text(_WITH_PROFILES.format(page=_AFTER))
_PAGE_BEFORE = text(_WITH_PROFILES.format(page=_BEFORE))
_INDEX = text(
    f"""SELECT board_above(:board_id, :score) AS above,
               (SELECT count(*) FROM standings s
                WHERE {_LISTED} AND s.score = :score AND s.user_id < :user_id) AS tied_before"""
)
# Cost: for each distinct score two bucket sums and one index probe.
_OF_USERS = text(
    f"""
    WITH found AS MATERIALIZED (
        SELECT s.user_id, s.score FROM standings s
        WHERE {_LISTED} AND s.user_id = ANY(CAST(:user_ids AS text[]))
    ), ranked AS MATERIALIZED (
        SELECT d.score, board_above(:board_id, d.score) AS above,
               board_above(:board_id, d.score - 1) AS at_least,
               (SELECT s.score FROM standings s WHERE {_LISTED} AND s.score > d.score
                ORDER BY s.score LIMIT 1) AS next_score
        FROM (SELECT DISTINCT score FROM found) d
    )
    SELECT f.user_id, f.score, r.above, r.at_least, r.next_score, p.display_name, p.avatar_url
    FROM found f JOIN ranked r USING (score) JOIN profiles p USING (user_id)
    ORDER BY f.score DESC, f.user_id
    """
)
_TOP_SCORE = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Board:
    """A stored board: its listed users are counted at the snapshot."""

    board_id: int
    users: int


async def find_board(connection: AsyncConnection, key: BoardKey) -> Board | None:
    """The board, or None when nothing was ever counted on it."""
    params = {
        "metric": key.metric,
        "course_id": key.course_id,
        "window": int(key.window),
        "period": key.period,
    }
    row = (await connection.execute(_BOARD, params)).one_or_none()
    return Board(row.board_id, row.users) if row else None


async def load_page(
    connection: AsyncConnection, board: Board, limit: int, after: tuple[int, str] | None = None
) -> list[Standing]:
    """Up to `limit` standings after (score, user_id), or from the top, best first."""
    score, user_id = after or (_TOP_SCORE, "")
    params = {"board_id": board.board_id, "score": score, "user_id": user_id, "limit": limit}
    return await _ranked(connection, board, (await connection.execute(_PAGE_AFTER, params)).all())


async def load_around(
    connection: AsyncConnection, board: Board, user_id: str, count: int
) -> list[Standing]:
    """`count` standings with the user in the middle, or as near as the board's ends allow,
    and one more when the board goes on after them.

    Empty when the user is not on the board.
    """
    found = await load_of_users(connection, board, [user_id])
    if not found:
        return []
    user = found[0]
    _, index = await _index(connection, board, user.score, user.user_id)
    start = max(0, min(index - count // 2, board.users - count))
    key = {"board_id": board.board_id, "score": user.score, "user_id": user.user_id}
    before = await connection.execute(_PAGE_BEFORE, {**key, "limit": index - start})
    after = await connection.execute(_PAGE_AFTER, {**key, "limit": count - (index - start)})
    return await _ranked(connection, board, [*before.all(), user, *after.all()])


async def load_of_users(
    connection: AsyncConnection, board: Board, user_ids: Sequence[str]
) -> list[Standing]:
    """The standings of those of the users who are on the board, best first."""
    params = {"board_id": board.board_id, "user_ids": list(user_ids)}
    return [
        Standing(
            user_id=row.user_id,
            score=row.score,
            rank=row.above + 1,
            display_name=row.display_name,
            avatar_url=row.avatar_url,
            users_below=board.users - row.at_least,
            score_to_next_rank=row.next_score - row.score if row.next_score else 0,
        )
        for row in await connection.execute(_OF_USERS, params)
    ]


async def _index(
    connection: AsyncConnection, board: Board, score: int, user_id: str
) -> tuple[int, int]:
    """How many listed users have a higher score, and how many come before this one in all."""
    params = {"board_id": board.board_id, "score": score, "user_id": user_id}
    row = (await connection.execute(_INDEX, params)).one()
    return int(row.above), int(row.above + row.tied_before)


async def _ranked(connection: AsyncConnection, board: Board, rows: Sequence[Any]) -> list[Standing]:
    """Consecutive rows with their competition ranks (1, 1, 3)."""
    if not rows:
        return []
    above, index = await _index(connection, board, rows[0].score, rows[0].user_id)
    rank = above + 1
    ranked: list[Standing] = []
    for offset, row in enumerate(rows):
        if offset and row.score != rows[offset - 1].score:
            rank = index + offset + 1
        ranked.append(Standing(row.user_id, row.score, rank, row.display_name, row.avatar_url))
    return ranked
