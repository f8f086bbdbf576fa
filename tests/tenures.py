"""Tenures in PostgreSQL, and copies of what it knows of positions."""

from typing import Any

import asyncpg

from progress_service.settings import ProgressSettings
from tests.progress import Progress


def sharing(postgres_url: str) -> ProgressSettings:
    """Of a service beside or after which others use the database."""
    return ProgressSettings(postgres_url=postgres_url, drain_seconds=0.2)


async def tenures(progress: Progress) -> list[tuple[str, int]]:
    """(epoch, after_sequence) of every tenure, in their order."""
    async with progress.sql() as sql:
        rows = await sql.fetch("SELECT epoch::text, after_sequence FROM tenures ORDER BY tenure")
    return [(row["epoch"], row["after_sequence"]) for row in rows]


async def base_copy(sql: asyncpg.Connection) -> dict[str, Any]:
    """What a copy of the database that is made now knows of positions."""
    row = await sql.fetchrow(
        "SELECT head_sequence, epoch, (SELECT array_agg(epoch) FROM tenures) AS epochs FROM history"
    )
    assert row
    return dict(row)


async def restore(sql: asyncpg.Connection, copy: dict[str, Any]) -> None:
    """The rows that the copy would bring back: no later tenure, an earlier head."""
    async with sql.transaction():
        await sql.execute(
            """UPDATE history SET head_sequence = $1, epoch = $2, holder = NULL,
                   lease_until = '-infinity'""",
            copy["head_sequence"],
            copy["epoch"],
        )
        await sql.execute("DELETE FROM tenures WHERE epoch <> ALL($1)", copy["epochs"])
        await sql.execute("DELETE FROM changes WHERE sequence > $1", copy["head_sequence"])
