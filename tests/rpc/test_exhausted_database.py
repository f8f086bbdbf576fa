"""When there is no database connection: who asks is told in a typed error, who runs it sees why."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import asyncpg
import pytest
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from progress_service.store import database
from progress_service.store.database import Purpose, connection_budgets
from shared.embedded.postgres import EmbeddedPostgres
from shared.errors import ResourceExhausted, Unavailable
from shared.gen.laurel.progress.v1 import progress_pb2
from tests.progress import Progress, eventually, refused

TOP = progress_pb2.ListStandingsRequest()
READS = 8


def figure(name: str, purpose: str = "read") -> float:
    return REGISTRY.get_sample_value(name, {"purpose": purpose}) or 0.0


@asynccontextmanager
async def hanging_reads(
    progress: Progress, sql: asyncpg.Connection, count: int
) -> AsyncIterator[list[object]]:
    """So many reads of boards are under way for the length of the block; then their outcomes."""
    outcomes: list[object] = []
    async with sql.transaction():
        await sql.execute("LOCK TABLE board_buckets IN ACCESS EXCLUSIVE MODE")
        reads = [asyncio.ensure_future(progress.standings.ListStandings(TOP)) for _ in range(count)]

        async def all_begun() -> bool:
            ended = sum(read.done() for read in reads)
            return figure("laurel_database_in_use") + ended == count

        await eventually(all_begun, "the reads are under way")
        yield outcomes
    outcomes += await asyncio.gather(*reads, return_exceptions=True)


async def test_a_call_that_finds_no_connection_in_time_is_refused_and_counted(
    progress: Progress, sql: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    slots = progress.app.database._slots[Purpose.READ]
    most = connection_budgets(progress.app.settings)[Purpose.READ]
    assert figure("laurel_database_connections") == most
    before = figure("laurel_database_busy_total")
    with capture_logs() as logs:
        async with hanging_reads(progress, sql, most):
            waiting = asyncio.ensure_future(progress.standings.ListStandings(TOP))

            async def waits() -> bool:
                return figure("laurel_database_waiting") == 1

            await eventually(waits, "another read waits")
            monkeypatch.setattr(slots, "_patience_s", 0.1)
            for _ in range(3):
                async with refused(ResourceExhausted, "DATABASE_BUSY"):
                    await progress.standings.ListStandings(TOP)
            await progress.put_users("ann")  # which is no read
        await waiting
        await progress.standings.ListStandings(TOP)
    assert figure("laurel_database_busy_total") == before + 3
    assert figure("laurel_database_in_use") == figure("laurel_database_waiting") == 0
    told = [one for one in logs if "database connections are" in one["event"]]
    assert [(one["event"], one.get("purpose")) for one in told] == [
        ("all database connections are in use", "read"),
        ("database connections are free again", None),
    ]


@asynccontextmanager
async def full_server(server: EmbeddedPostgres) -> AsyncIterator[None]:
    """PostgreSQL takes no more connections."""
    async with AsyncExitStack() as stack:
        while True:
            try:
                connection = await asyncpg.connect(server.url("postgres"))
            except asyncpg.TooManyConnectionsError:
                break
            stack.push_async_callback(connection.close)
        yield


async def test_a_server_without_a_free_connection_is_a_database_that_is_not_there_for_a_while(
    progress: Progress,
    sql: asyncpg.Connection,
    postgres_server: EmbeddedPostgres,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(database, "_WELL_S", 0.0)
    with capture_logs() as logs:
        async with (
            full_server(postgres_server),
            hanging_reads(progress, sql, READS) as outcomes,
        ):
            pass
        async with hanging_reads(progress, sql, READS) as later:
            pass
    errors = [one for one in outcomes if isinstance(one, Exception)]
    assert errors
    for error in errors:
        async with refused(Unavailable, "DATABASE_UNAVAILABLE"):
            raise error
    assert not [one for one in later if isinstance(one, Exception)]
    told = [one for one in logs if one["event"].startswith("database ")]
    assert [(one["event"], one.get("sqlstate")) for one in told] == [
        ("database unavailable", "53300"),
        ("database available again", None),
    ]
