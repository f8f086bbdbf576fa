"""Active days: kept with the user as facts come in, and derived from the facts anew when one is
withdrawn or the zone of one changes.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime
from zoneinfo import ZoneInfo

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from progress_service.domain.active_day import ActiveDay
from progress_service.domain.ledger import LEVEL_SOURCE
from progress_service.domain.streak import Run, civil_day, merged
from progress_service.store.learner_read import Learner, read_users, runs_of
from progress_service.store.rows import RowSet
from progress_service.store.zones import zone_of

_DAYS = RowSet("days", {"user_id": "text", "day": "date"})
_ADD = text(
    f"""UPDATE users SET carried_days = carried_days + d.days, active_days = active_days + d.days,
               update_time = now()
        FROM (SELECT user_id, range_agg(daterange(day, day, '[]')) AS days
              FROM {_DAYS.source} GROUP BY user_id) d
        WHERE users.user_id = d.user_id AND NOT users.carried_days @> d.days"""
)

# What makes a day active: attempts that count, and awards that nobody has cancelled. What a
# level paid is no fact of its own: its attempt is. Index: attempts_user, xp_entries_user.
_FACTS = f"""
    SELECT a.user_id, a.occurred_time FROM attempts a
    WHERE a.user_id = ANY(CAST(:ids AS text[])) AND NOT a.voided AND NOT a.under_review
    UNION ALL
    SELECT e.user_id, e.occurred_time FROM xp_entries e
    WHERE e.user_id = ANY(CAST(:ids AS text[])) AND e.source <> '{LEVEL_SOURCE}'
      AND e.revokes_entry_id IS NULL
      AND NOT EXISTS (SELECT FROM xp_entries r WHERE r.revokes_entry_id = e.entry_id)
"""
_MOMENTS = text(f"SELECT DISTINCT user_id, occurred_time FROM ({_FACTS}) f")
_SINCE = text(
    f"""SELECT DISTINCT user_id FROM ({_FACTS}) f
        WHERE occurred_time >= CAST(:since AS timestamptz)"""
)
_CARRIED = text("SELECT user_id, carried_days FROM users WHERE user_id = ANY(CAST(:ids AS text[]))")
_SETS = RowSet("sets", {"user_id": "text", "days": "text"})
_SET = text(
    f"""UPDATE users SET active_days = sets_rows.days::datemultirange, update_time = now()
        FROM {_SETS.source} WHERE users.user_id = sets_rows.user_id
          AND users.active_days <> sets_rows.days::datemultirange"""
)


async def add(connection: AsyncConnection, days: Sequence[ActiveDay]) -> None:
    """Marks carried days as active; the caller holds the users' rows."""
    await connection.execute(_ADD, _DAYS.params(days))


async def recompute(
    connection: AsyncConnection, user_ids: Sequence[str], deployment: ZoneInfo
) -> None:
    """Derives the active days of these users from the facts: each in the zone that the user had
    at its moment, and the days that imports carried over.

    The caller holds the users' rows, and has written what it withdraws. Cost: a pass over all
    attempts and entries of these users.
    """
    if not user_ids:
        return
    ids = {"ids": sorted(set(user_ids))}
    learners = await read_users(connection, ids["ids"])
    moments: dict[str, list[datetime]] = defaultdict(list)
    for row in await connection.execute(_MOMENTS, ids):
        moments[row.user_id].append(row.occurred_time)
    rows = []
    for row in await connection.execute(_CARRIED, ids):
        days = {
            civil_day(moment, zone_of(name, deployment))
            for moment, name in _zoned(learners[row.user_id], moments[row.user_id])
        }
        runs = merged([*runs_of(row.carried_days), *(Run(day, day) for day in days)])
        rows.append((row.user_id, _multirange(runs)))
    await connection.execute(_SET, _SETS.params(rows))


async def recompute_since(
    connection: AsyncConnection, user_ids: Sequence[str], since: datetime, deployment: ZoneInfo
) -> None:
    """As `recompute`, for those of the users who have a fact at `since` or later."""
    if user_ids:
        params = {"ids": sorted(set(user_ids)), "since": since}
        touched = (await connection.execute(_SINCE, params)).scalars().all()
        await recompute(connection, touched, deployment)


def _zoned(learner: Learner, moments: Iterable[datetime]) -> Iterable[tuple[datetime, str]]:
    return ((moment, learner.zone_at(moment)) for moment in moments)


def _multirange(runs: Iterable[Run]) -> str:
    return "{" + ",".join(f"[{run.first},{run.last}]" for run in runs) + "}"
