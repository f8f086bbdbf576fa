"""The catalog of metrics."""

from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from progress_service.domain.metric import Metric, windows_of
from progress_service.store import admin_actions
from progress_service.store.admin_actions import AdminAction
from shared.identity import Actor

_METHOD = "laurel.progress.v1.CatalogService/PutMetric"

_PUT = text(
    """INSERT INTO metrics AS m (metric, title, unit, windows, max_self_award)
       VALUES (:metric, :title, :unit, :windows, :max_self_award)
       ON CONFLICT (metric) DO UPDATE SET title = EXCLUDED.title, unit = EXCLUDED.unit,
           windows = EXCLUDED.windows, max_self_award = EXCLUDED.max_self_award
       WHERE (m.title, m.unit, m.windows, m.max_self_award)
          <> (EXCLUDED.title, EXCLUDED.unit, EXCLUDED.windows, EXCLUDED.max_self_award)
       RETURNING metric"""
)
_LIST = text("SELECT metric, title, unit, windows, max_self_award FROM metrics ORDER BY metric")


async def put(connection: AsyncConnection, metric: Metric, actor: Actor) -> None:
    """Creates or replaces a metric; records the act when that changes something. Other windows
    count for entries written from then on.
    """
    params: dict[str, Any] = {
        "metric": metric.metric,
        "title": metric.title,
        "unit": metric.unit,
        "windows": metric.mask,
        "max_self_award": metric.max_self_award,
    }
    if (await connection.execute(_PUT, params)).one_or_none() is not None:
        windows = ", ".join(window.name for window in sorted(metric.windows)) or "all windows"
        detail = (
            f"{metric.metric}: {metric.title!r} in {metric.unit!r}, {windows}, "
            f"users may award themselves {metric.max_self_award}"
        )
        await admin_actions.record(connection, [AdminAction(_METHOD, actor, "", detail)])


async def load_all(connection: AsyncConnection) -> list[Metric]:
    """Every metric, by name."""
    return [
        Metric(row.metric, row.title, row.unit, windows_of(row.windows), row.max_self_award)
        for row in await connection.execute(_LIST)
    ]
