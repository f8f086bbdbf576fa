"""Boards as PostgreSQL folds them: pages, ranks, and the neighbourhood of a user.

A competition or ordinal rank is a count of users above: a sum over the board's buckets, plus a
count within one bucket and among ties, so it never walks the whole board (see board_buckets). A
dense rank counts the scores above, which does.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from progress_service.domain.ranking import Above, consecutive_ranks, rank_of
from progress_service.store import ranks
from progress_service.store.ranks import LISTED
from shared.periods import Window
from shared.rank_mode import RankMode


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
    also_scores: tuple[int, ...] = ()


_BOARD = text(
    """SELECT b.board_id,
              (SELECT coalesce(sum(k.users), 0) FROM board_buckets k
               WHERE k.board_id = b.board_id)::bigint AS users
       FROM boards b
       WHERE b.metric = :metric AND b.course_id = :course_id
         AND b.board_window = :window AND b.period = :period"""
)
# Two ranges of standings_rank instead of one OR, so that each is an index range.
_AFTER = f"""
    SELECT r.user_id, r.score FROM (
        (SELECT s.user_id, s.score FROM standings s
         WHERE {LISTED} AND s.score = :score AND s.user_id > :user_id
         ORDER BY s.user_id LIMIT :limit)
        UNION ALL
        (SELECT s.user_id, s.score FROM standings s
         WHERE {LISTED} AND s.score < :score
         ORDER BY s.score DESC, s.user_id LIMIT :limit)
    ) r ORDER BY r.score DESC, r.user_id LIMIT :limit
"""
_BEFORE = f"""
    SELECT r.user_id, r.score FROM (
        (SELECT s.user_id, s.score FROM standings s
         WHERE {LISTED} AND s.score = :score AND s.user_id < :user_id
         ORDER BY s.user_id DESC LIMIT :limit)
        UNION ALL
        (SELECT s.user_id, s.score FROM standings s
         WHERE {LISTED} AND s.score > :score
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
# Cost: for each distinct score two bucket sums and one index probe.
_OF_USERS = text(
    f"""
    WITH found AS MATERIALIZED (
        SELECT s.user_id, s.score FROM standings s
        WHERE {LISTED} AND s.user_id = ANY(CAST(:user_ids AS text[]))
    ), ranked AS MATERIALIZED (
        SELECT d.score, board_above(:board_id, d.score) AS above,
               board_above(:board_id, d.score - 1) AS at_least,
               (SELECT s.score FROM standings s WHERE {LISTED} AND s.score > d.score
                ORDER BY s.score LIMIT 1) AS next_score
        FROM (SELECT DISTINCT score FROM found) d
    )
    SELECT f.user_id, f.score, r.above, r.at_least, r.next_score, p.display_name, p.avatar_url
    FROM found f JOIN ranked r USING (score) JOIN profiles p USING (user_id)
    ORDER BY f.score DESC, f.user_id
    """
)
# Cost: of each board a look-up for each user. Index: the primary key; `LIMIT 1`, and the conditions
# outside, keep any other from being thought of.
SCORES = text(
    """
    SELECT k.ordinal, u.user_id, s.score
    FROM unnest(CAST(:metrics AS text[]), CAST(:course_ids AS text[]),
                CAST(:windows AS smallint[]), CAST(:periods AS text[])) WITH ORDINALITY
         AS k (metric, course_id, board_window, period, ordinal)
    JOIN boards b ON b.metric = k.metric AND b.course_id = k.course_id
                 AND b.board_window = k.board_window AND b.period = k.period
    CROSS JOIN unnest(CAST(:user_ids AS text[])) AS u (user_id)
    CROSS JOIN LATERAL (
        SELECT score, hidden FROM standings
        WHERE user_id = u.user_id AND board_id = b.board_id LIMIT 1
    ) s
    WHERE s.score > 0 AND NOT s.hidden
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
    connection: AsyncConnection,
    board: Board,
    mode: RankMode,
    limit: int,
    after: tuple[int, str] | None = None,
) -> list[Standing]:
    """Up to `limit` standings after (score, user_id), or from the top, best first."""
    score, user_id = after or (_TOP_SCORE, "")
    params = {"board_id": board.board_id, "score": score, "user_id": user_id, "limit": limit}
    rows = (await connection.execute(_PAGE_AFTER, params)).all()
    return await _ranked(connection, board, mode, rows)


async def load_around(
    connection: AsyncConnection, board: Board, mode: RankMode, user_id: str, count: int
) -> list[Standing]:
    """`count` standings with the user in the middle, or as near as the board's ends allow,
    and one more when the board goes on after them.

    Empty when the user is not on the board.
    """
    found = await load_of_users(connection, board, RankMode.COMPETITION, [user_id])
    if not found:
        return []
    user = found[0]
    above = await ranks.above_one(
        connection, board.board_id, user.score, user_id, RankMode.COMPETITION
    )
    start = max(0, min(above.listed - count // 2, board.users - count))
    key = {"board_id": board.board_id, "score": user.score, "user_id": user.user_id}
    up = above.listed - start
    before = await connection.execute(_PAGE_BEFORE, {**key, "limit": up})
    after = await connection.execute(_PAGE_AFTER, {**key, "limit": count - up})
    return await _ranked(connection, board, mode, [*before.all(), user, *after.all()])


async def load_of_users(
    connection: AsyncConnection, board: Board, mode: RankMode, user_ids: Sequence[str]
) -> list[Standing]:
    """The standings of those of the users who are on the board, best first."""
    params = {"board_id": board.board_id, "user_ids": list(user_ids)}
    rows = (await connection.execute(_OF_USERS, params)).all()
    scores: dict[int, int] = {}
    before: dict[str, int] = {}
    if mode is RankMode.DENSE and rows:
        scores = await ranks.scores_above(connection, board.board_id, [row.score for row in rows])
    if mode is RankMode.ORDINAL and rows:
        users = [(row.score, row.user_id) for row in rows]
        before = await ranks.tied_before(connection, board.board_id, users)
    return [
        Standing(
            user_id=row.user_id,
            score=row.score,
            rank=rank_of(
                Above(row.above, row.above + before.get(row.user_id, 0), scores.get(row.score)),
                mode,
            ),
            display_name=row.display_name,
            avatar_url=row.avatar_url,
            users_below=board.users - row.at_least,
            score_to_next_rank=row.next_score - row.score if row.next_score else 0,
        )
        for row in rows
    ]


async def load_scores(
    connection: AsyncConnection, keys: Sequence[BoardKey], user_ids: Sequence[str]
) -> dict[str, tuple[int, ...]]:
    """Each user's score on each of the boards, in their order; 0 where the user is not listed."""
    params = {
        "metrics": [key.metric for key in keys],
        "course_ids": [key.course_id for key in keys],
        "windows": [int(key.window) for key in keys],
        "periods": [key.period for key in keys],
        "user_ids": sorted(set(user_ids)),
    }
    found = {user_id: [0] * len(keys) for user_id in user_ids}
    for row in await connection.execute(SCORES, params):
        found[row.user_id][row.ordinal - 1] = row.score
    return {user_id: tuple(scores) for user_id, scores in found.items()}


async def _ranked(
    connection: AsyncConnection, board: Board, mode: RankMode, rows: Sequence[Any]
) -> list[Standing]:
    """Consecutive rows with their ranks."""
    if not rows:
        return []
    first = rows[0]
    above = await ranks.above_one(connection, board.board_id, first.score, first.user_id, mode)
    numbers = consecutive_ranks([row.score for row in rows], above, mode)
    return [
        Standing(row.user_id, row.score, rank, row.display_name, row.avatar_url)
        for row, rank in zip(rows, numbers, strict=True)
    ]
