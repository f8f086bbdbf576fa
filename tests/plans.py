"""How PostgreSQL runs a statement of ours: plans are part of what the stores promise."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import asyncpg
from sqlalchemy import TextClause, text
from sqlalchemy.ext.asyncio import AsyncConnection

from progress_service.store.database import Database

_EXPLAIN = "EXPLAIN (ANALYZE, FORMAT JSON, TIMING OFF)"


@dataclass(frozen=True, slots=True)
class Scan:
    """How often rows of a table were read, and by which index; "" for none."""

    table: str
    index: str
    rows: int


async def scans(
    database: Database, statement: TextClause | str, params: Mapping[str, Any]
) -> list[Scan]:
    """Runs the statement; every scan of a table in its plan, with the rows that it read."""
    async with database.read() as connection:
        return await scans_within(connection, statement, params)


async def scans_within(
    connection: AsyncConnection, statement: TextClause | str, params: Mapping[str, Any]
) -> list[Scan]:
    """The same in the caller's transaction, where a statement may write."""
    explain = text(f"{_EXPLAIN} {statement}")
    return [*_scans((await connection.execute(explain, params)).scalar_one()[0]["Plan"])]


async def query_scans(sql: asyncpg.Connection, query: str, *arguments: object) -> list[Scan]:
    """The same of a query as the driver itself takes it."""
    plan = json.loads(await sql.fetchval(f"{_EXPLAIN} {query}", *arguments))
    return [*_scans(plan[0]["Plan"])]


def _scans(node: dict[str, Any]) -> Iterator[Scan]:
    if "Relation Name" in node and node["Node Type"] != "ModifyTable":
        removed = sum(rows for key, rows in node.items() if key.startswith("Rows Removed"))
        rows = round((node["Actual Rows"] + removed) * node["Actual Loops"])
        yield Scan(node["Relation Name"], node.get("Index Name", ""), rows)
    for child in node.get("Plans", ()):
        yield from _scans(child)
