"""Each kind of work has database connections of its own: no load of one stops another."""

import asyncio

import pytest
from structlog.testing import capture_logs

from progress_service.settings import ProgressSettings
from progress_service.store.database import (
    Database,
    Purpose,
    connection_budgets,
    most_connections,
)
from shared.embedded.postgres import SETTINGS
from shared.gen.laurel.progress.v1 import progress_pb2
from tests.imports import attempt, batch, counts, import_all
from tests.progress import Progress, eventually, held, level


@pytest.mark.parametrize(("pool", "writers"), [(4, 1), (16, 2), (12, 9), (200, 16)])
def test_the_budgets_make_up_the_pool_and_leave_something_to_each(pool: int, writers: int) -> None:
    settings = ProgressSettings(
        postgres_url="postgresql://x", postgres_pool_size=pool, group_writers=writers
    )
    budgets = connection_budgets(settings)
    assert sum(budgets.values()) - budgets[Purpose.AUDIT] - budgets[Purpose.JOB] == pool
    assert budgets.keys() == {*Purpose}
    assert min(budgets.values()) >= 1


def test_four_replicas_fit_into_the_embedded_server_and_leave_something_to_others() -> None:
    most = most_connections(ProgressSettings(postgres_url="postgresql://x"))
    assert most == 23
    assert 4 * most + 5 <= int(SETTINGS["max_connections"])


@pytest.mark.parametrize(("pool", "told"), [(16, False), (200, True)])
async def test_a_server_that_takes_too_few_connections_is_told_at_the_start(
    postgres_url: str, pool: int, *, told: bool
) -> None:
    database = Database(ProgressSettings(postgres_url=postgres_url, postgres_pool_size=pool))
    with capture_logs() as logs:
        await database.migrate()
    await database.close()
    events = [one for one in logs if one["event"] == "the database takes too few connections"]
    assert [(one["max_connections"], one["wanted"]) for one in events] == [(100, 207)] * told


async def waiting_for_locks(progress: Progress, count: int) -> None:
    async with progress.sql() as sql:

        async def wait() -> bool:
            found = await sql.fetchval(
                """SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'
                   AND datname = current_database() AND application_name = 'laurel_progress'"""
            )
            return bool(found >= count)

        await eventually(wait, f"{count} connections wait for a lock")


async def test_reads_that_hang_keep_no_writer_and_no_health_check_waiting(
    progress: Progress,
) -> None:
    await progress.put_users("ann")
    await progress.put_course("c", level("l1"))
    await progress.award("ann", 1)
    await progress.settled()
    most = connection_budgets(progress.app.settings)[Purpose.READ]
    request = progress_pb2.ListStandingsRequest()
    async with progress.sql() as sql, sql.transaction():
        # Nothing that a submission needs: only boards cannot be read.
        await sql.execute("LOCK TABLE board_buckets IN ACCESS EXCLUSIVE MODE")
        calls = [
            asyncio.ensure_future(progress.standings.ListStandings(request))
            for _ in range(most + 20)
        ]
        await waiting_for_locks(progress, most)
        async with asyncio.timeout(2):
            await progress.app.database.check()
            await progress.put_users("bob")
            assert (await progress.submit("bob", "l1")).xp_earned == 50
    await asyncio.gather(*calls, return_exceptions=True)


async def test_imports_that_hang_keep_nobody_else_waiting(progress: Progress) -> None:
    users = [f"u{n}" for n in range(4)]
    await progress.put_users("ann", *users)
    await progress.put_course("c", level("l1"))
    async with held(progress, "ann"):
        imports = [
            asyncio.create_task(
                import_all(progress, [batch(attempt("ann", "l1", 10, f"a{n}")) for n in range(3)])
            )
            for _ in range(4)
        ]
        await waiting_for_locks(progress, 2)
        async with asyncio.timeout(2):
            await progress.app.database.check()
            await progress.put_users("bob")
            assert (await progress.submit("bob", "l1")).xp_earned == 50
            await progress.stats("bob")
    answers = await asyncio.gather(*imports)
    assert all(counts(one[-1])[0] == 3 for one in answers)
