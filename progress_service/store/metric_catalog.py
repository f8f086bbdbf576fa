"""The catalog of metrics."""

from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from progress_service.domain.metric import Metric, windows_of

_PUT = text(
    """INSERT INTO metrics (metric, title, unit, windows, max_self_award)
       VALUES (:metric, :title, :unit, :windows, :max_self_award)
       ON CONFLICT (metric) DO UPDATE SET title = EXCLUDED.title, unit = EXCLUDED.unit,
           windows = EXCLUDED.windows, max_self_award = EXCLUDED.max_self_award"""
)
_LIST = text("SELECT metric, title, unit, windows, max_self_award FROM metrics ORDER BY metric")


async def put(connection: AsyncConnection, metric: Metric) -> None:
    """Creates or replaces a metric. Other windows count for entries written from then on."""
    params: dict[str, Any] = {
        "metric": metric.metric,
        "title": metric.title,
        "unit": metric.unit,
        "windows": metric.mask,
        "max_self_award": metric.max_self_award,
    }
    await connection.execute(_PUT, params)


async def load_all(connection: AsyncConnection) -> list[Metric]:
    """Every metric, by name."""
    return [
        Metric(row.metric, row.title, row.unit, windows_of(row.windows), row.max_self_award)
        for row in await connection.execute(_LIST)
    ]
