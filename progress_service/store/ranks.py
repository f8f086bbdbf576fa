"""What stands above users of a board. Counts are of listed users at the snapshot."""

from collections.abc import Iterable, Sequence

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from progress_service.domain.ranking import Above
from shared.rank_mode import RankMode

LISTED = "s.board_id = :board_id AND s.score > 0 AND NOT s.hidden"
"""Of `standings s`: what standings_rank holds of the board."""

_ABOVE = text(
    f"""SELECT board_above(:board_id, :score) AS above,
               (SELECT count(*) FROM standings s
                WHERE {LISTED} AND s.score = :score AND s.user_id < :user_id) AS tied_before"""
)
# The scores asked for cut the board above the lowest of them into ranges, each counted once:
# below 64 a bucket holds one score, beyond it standings_rank has them in order.
# Cost: the users above the lowest, whatever is asked; no index of distinct scores would make it
# less (see ADR 0011). The last of 1M users with as many scores: 0.1 s on a 2-core machine, and
# 1.5 s while a fifth of the board was just rewritten and waits for vacuum.
SCORES_ABOVE = text(
    f"""
    WITH asked AS (
        SELECT score, lead(score, 1, 9223372036854775807) OVER (ORDER BY score) AS next_score
        FROM unnest(CAST(:scores AS bigint[])) score
    )
    SELECT a.score, (sum(low.scores + high.scores) OVER (ORDER BY a.score DESC))::bigint AS above
    FROM asked a
    CROSS JOIN LATERAL (
        SELECT count(*) AS scores FROM board_buckets b
        WHERE b.board_id = :board_id AND b.bucket > a.score AND b.users > 0
          AND b.bucket <= least(a.next_score, 63)
    ) low
    CROSS JOIN LATERAL (
        SELECT count(DISTINCT s.score) AS scores FROM standings s
        WHERE {LISTED} AND s.score > greatest(a.score, 63) AND s.score <= a.next_score
    ) high
    """
)
# Cost: of each score asked for, the users who have it, up to the last of those asked for.
TIED_BEFORE = text(
    f"""
    WITH asked AS MATERIALIZED (
        SELECT * FROM unnest(CAST(:scores AS bigint[]), CAST(:user_ids AS text[]))
            AS a (score, user_id)
    )
    SELECT tied.user_id, tied.before
    FROM (SELECT score, max(user_id COLLATE "C") AS last FROM asked GROUP BY score) a
    CROSS JOIN LATERAL (
        SELECT s.user_id, row_number() OVER (ORDER BY s.user_id) - 1 AS before FROM standings s
        WHERE {LISTED} AND s.score = a.score AND s.user_id <= a.last
    ) tied
    WHERE tied.user_id = ANY(CAST(:user_ids AS text[]))
    """
)


async def above_one(
    connection: AsyncConnection, board_id: int, score: int, user_id: str, mode: RankMode
) -> Above:
    """What stands above one listed user."""
    params = {"board_id": board_id, "score": score, "user_id": user_id}
    row = (await connection.execute(_ABOVE, params)).one()
    scores = None
    if mode is RankMode.DENSE:
        scores = (await scores_above(connection, board_id, [score]))[score]
    return Above(int(row.above), int(row.above + row.tied_before), scores)


async def scores_above(
    connection: AsyncConnection, board_id: int, scores: Iterable[int]
) -> dict[int, int]:
    """For each score how many distinct higher ones the board has."""
    params = {"board_id": board_id, "scores": sorted(set(scores))}
    return {row.score: row.above for row in await connection.execute(SCORES_ABOVE, params)}


async def tied_before(
    connection: AsyncConnection, board_id: int, users: Sequence[tuple[int, str]]
) -> dict[str, int]:
    """For each listed (score, user_id) how many with the same score are listed before."""
    params = {
        "board_id": board_id,
        "scores": [score for score, _ in users],
        "user_ids": [user_id for _, user_id in users],
    }
    return {row.user_id: row.before for row in await connection.execute(TIED_BEFORE, params)}
