"""A user's totals per window: the folded standings and the user's own unnumbered changes."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from progress_service.domain.ledger import XP
from progress_service.domain.streak import Run
from progress_service.store.learner_read import runs_of
from progress_service.store.ledger_write import XP_DELTA
from progress_service.store.positions import Head, read_head
from shared.periods import Window, period_of, periods_of

_USER = text(
    """SELECT u.time_zone, u.active_days,
              greatest(u.update_time,
                       (SELECT a.create_time FROM attempts a WHERE a.user_id = u.user_id
                        ORDER BY a.attempt_id DESC LIMIT 1),
                       (SELECT e.create_time FROM xp_entries e WHERE e.user_id = u.user_id
                        ORDER BY e.entry_id DESC LIMIT 1)) AS update_time,
              (SELECT count(*) FROM level_progress p
               WHERE p.user_id = u.user_id AND p.complete_time IS NOT NULL) AS levels_completed
       FROM users u WHERE u.user_id = :user_id"""
)
# Cost: five primary-key look-ups for each metric of the catalog.
_STANDINGS = text(
    """SELECT b.metric, b.board_window, s.score
       FROM metrics m
       CROSS JOIN unnest(CAST(:windows AS smallint[]), CAST(:periods AS text[]))
            AS p (board_window, period)
       JOIN boards b ON b.metric = m.metric AND b.course_id = ''
                    AND b.board_window = p.board_window AND b.period = p.period
       JOIN standings s ON s.board_id = b.board_id AND s.user_id = :user_id"""
)
_UNNUMBERED = text(
    f"""SELECT metric, occurred_date, windows, sum(amount)::bigint AS amount
        FROM unnumbered_changes WHERE user_id = :user_id AND kind = {XP_DELTA}
        GROUP BY metric, occurred_date, windows"""
)


@dataclass(frozen=True, slots=True)
class UserStats:
    """`totals`: per metric and window; `head`: the history that is in them, at least."""

    time_zone: str
    runs: tuple[Run, ...]
    levels_completed: int
    update_time: datetime
    totals: Mapping[str, Mapping[Window, int]]
    head: Head


async def load(connection: AsyncConnection, user_id: str, today: date) -> UserStats | None:
    """The user's totals in the periods that hold `today`, from one snapshot; None: no user."""
    user = (await connection.execute(_USER, {"user_id": user_id})).one_or_none()
    if user is None:
        return None
    current = periods_of(today)
    totals: dict[str, dict[Window, int]] = {XP: {}}
    params = {
        "user_id": user_id,
        "windows": [int(window) for window, _ in current],
        "periods": [period for _, period in current],
    }
    for row in await connection.execute(_STANDINGS, params):
        totals.setdefault(row.metric, {})[Window(row.board_window)] = row.score
    for row in await connection.execute(_UNNUMBERED, {"user_id": user_id}):
        scores = totals.setdefault(row.metric, {})
        for window, period in current:
            kept = row.windows == 0 or row.windows & (1 << window)
            if kept and period_of(window, row.occurred_date) == period:
                scores[window] = scores.get(window, 0) + row.amount
    return UserStats(
        time_zone=user.time_zone,
        runs=runs_of(user.active_days),
        levels_completed=user.levels_completed,
        update_time=user.update_time,
        totals=totals,
        head=await read_head(connection),
    )
