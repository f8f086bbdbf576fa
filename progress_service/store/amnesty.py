"""Amnesty days: civil days that end nobody's streak."""

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from progress_service.domain.amnesty import AmnestyDay
from progress_service.domain.streak import Run
from progress_service.store import admin_actions
from progress_service.store.admin_actions import AdminAction
from progress_service.store.learner_read import runs_of
from shared.identity import Actor

_METHOD = "laurel.progress.v1.CatalogService/PutAmnestyDay"

_PUT = text(
    """INSERT INTO amnesty_days AS a (day, reason) VALUES (:day, :reason)
       ON CONFLICT (day) DO UPDATE SET reason = EXCLUDED.reason
       WHERE a.reason <> EXCLUDED.reason
       RETURNING day"""
)
_LIST = text("SELECT day, reason FROM amnesty_days ORDER BY day")
_RUNS = text("SELECT range_agg(daterange(day, day, '[]')) FROM amnesty_days")


async def put(connection: AsyncConnection, amnesty_day: AmnestyDay, actor: Actor) -> None:
    """Declares the day, or replaces its reason; records the act when that changes something."""
    params = {"day": amnesty_day.day, "reason": amnesty_day.reason}
    if (await connection.execute(_PUT, params)).one_or_none() is not None:
        detail = f"{amnesty_day.day}: {amnesty_day.reason}"
        await admin_actions.record(connection, [AdminAction(_METHOD, actor, "", detail)])


async def load_all(connection: AsyncConnection) -> list[AmnestyDay]:
    """All of them, oldest first."""
    return [AmnestyDay(*row) for row in await connection.execute(_LIST)]


async def load_runs(connection: AsyncConnection) -> tuple[Run, ...]:
    """All of them, as runs of days."""
    return runs_of((await connection.execute(_RUNS)).scalar_one())
