"""What may be pruned of the history, and what a pruner costs others."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import timedelta
from typing import Any

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from progress_service.settings import ProgressSettings
from progress_service.store import history_pruning
from progress_service.store.database import Database, Purpose
from progress_service.store.history_pruning import Kept, Pruned
from tests.pruned import NO_AGE

DAY = timedelta(days=1)


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[Database]:
    """A database that no service works on."""
    database = Database(ProgressSettings(postgres_url=url))
    try:
        yield database
    finally:
        await database.close()


@contextmanager
def opened_for_examples(url: str) -> Iterator[tuple[asyncio.Runner, Database]]:
    with asyncio.Runner() as runner:
        database = Database(ProgressSettings(postgres_url=url))
        try:
            yield runner, database
        finally:
            runner.run(database.close())


async def prune_once(database: Database, kept: Kept, limit: int = 5_000) -> Pruned:
    return await database.write(
        lambda connection: history_pruning.prune(connection, kept, limit), Purpose.JOB
    )


async def prune_all(database: Database, kept: Kept, limit: int = 5_000) -> Pruned:
    """The last turn of as many as it takes."""
    while (pruned := await prune_once(database, kept, limit)).more:
        pass
    return pruned


@asynccontextmanager
async def sql_of(database: Database) -> AsyncIterator[asyncpg.Connection]:
    connection = await database.connect()
    try:
        yield connection
    finally:
        await connection.close()


async def fill(sql: asyncpg.Connection, days_old: list[int]) -> None:
    """A history of so many changes; each second one is a credit."""
    await sql.execute("TRUNCATE changes, pruned_changes")
    await sql.execute("UPDATE history_pruning SET pruned_sequence = 0")
    await sql.execute("UPDATE history SET head_sequence = $1", len(days_old))
    await sql.execute(
        """INSERT INTO changes (sequence, change_id, entry_id, kind, user_id, numbered_time)
           SELECT n, 1000 + n, CASE WHEN n % 2 = 0 THEN 2000 + n END, 2 - (n + 1) % 2, 'ann',
                  now() - make_interval(days => days, mins => -1)
           FROM unnest($1::integer[]) WITH ORDINALITY AS ages (days, n)""",
        days_old,
    )


async def sequences(sql: asyncpg.Connection, table: str) -> list[int]:
    return [row[0] for row in await sql.fetch(f"SELECT sequence FROM {table} ORDER BY 1")]


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    days_old=st.lists(st.integers(0, 6), max_size=12),
    days=st.integers(1, 6),
    changes=st.integers(0, 14),
    limit=st.integers(1, 5),
)
def test_what_goes_is_old_and_beyond_the_bound_and_has_nothing_before_it(
    examples: tuple[asyncio.Runner, Database],
    days_old: list[int],
    days: int,
    changes: int,
    limit: int,
) -> None:
    """The ages are as they come, as after a clock that was set: the first young one keeps all."""
    runner, database = examples

    async def check() -> None:
        async with sql_of(database) as sql:
            await fill(sql, days_old)
            gone = 0
            while gone < len(days_old) - changes and days_old[gone] > days:
                gone += 1
            pruned = await prune_all(database, Kept(days * DAY, changes), limit)
            assert await sequences(sql, "pruned_changes") == list(range(1, gone + 1))
            assert await sequences(sql, "changes") == list(range(gone + 1, len(days_old) + 1))
            assert pruned.oldest_sequence == gone + 1

    runner.run(check())


@pytest.fixture
def examples(postgres_url: str) -> Iterator[tuple[asyncio.Runner, Database]]:
    with opened_for_examples(postgres_url) as found:
        yield found


async def test_of_what_is_pruned_its_number_stays_and_nothing_of_anyone(postgres_url: str) -> None:
    async with opened(postgres_url) as database, sql_of(database) as sql:
        await fill(sql, [9] * 4)
        before = await sql.fetch("SELECT * FROM numbered_changes ORDER BY 1")
        await prune_all(database, Kept(DAY, 0))
        kept = await sql.fetch("SELECT * FROM pruned_changes ORDER BY 1")
        assert [tuple(row) for row in kept] == [
            (1, 1001, None),
            (2, None, 2002),
            (3, 1003, None),
            (4, None, 2004),
        ]
        columns = ["sequence", "change_id", "entry_id"]
        assert [*kept[0].keys()] == columns
        after = await sql.fetch("SELECT * FROM numbered_changes ORDER BY 1")
        assert [(row["sequence"], row["entry_id"]) for row in before] == [
            (row["sequence"], row["entry_id"]) for row in after
        ]


async def test_an_age_of_zero_keeps_everything(postgres_url: str) -> None:
    async with opened(postgres_url) as database, sql_of(database) as sql:
        await fill(sql, [9] * 4)
        assert await prune_all(database, Kept(timedelta(), 0)) == Pruned(0, 1, more=False)
        assert await sequences(sql, "changes") == [1, 2, 3, 4]


async def test_nothing_is_pruned_before_the_time_that_an_upgrade_sets(postgres_url: str) -> None:
    async with opened(postgres_url) as database, sql_of(database) as sql:
        await fill(sql, [9] * 4)
        await sql.execute("UPDATE history_pruning SET not_before = now() + interval '1 min'")
        assert await prune_all(database, Kept(DAY, 0)) == Pruned(0, 1, more=False)
        await sql.execute("UPDATE history_pruning SET not_before = now()")
        assert (await prune_all(database, Kept(DAY, 0))).count == 4


async def test_nothing_is_pruned_of_a_history_that_is_empty_or_already_pruned(
    postgres_url: str,
) -> None:
    async with opened(postgres_url) as database, sql_of(database) as sql:
        assert await prune_all(database, Kept(NO_AGE, 0)) == Pruned(0, 1, more=False)
        await fill(sql, [9] * 4)
        assert await prune_all(database, Kept(NO_AGE, 0)) == Pruned(4, 5, more=False)
        assert await prune_all(database, Kept(NO_AGE, 0)) == Pruned(0, 5, more=False)


async def test_while_one_replica_prunes_another_passes_by(postgres_url: str) -> None:
    kept = Kept(DAY, 0)
    async with opened(postgres_url) as database, sql_of(database) as sql:
        await fill(sql, [9] * 4)

        async def two(connection: Any) -> tuple[Pruned, Pruned]:
            first = await history_pruning.prune(connection, kept, 2)
            async with asyncio.timeout(5):
                return first, await database.write(
                    lambda other: history_pruning.prune(other, kept, 2)
                )

        first, second = await database.write(two, Purpose.JOB)
        assert first == Pruned(2, 3, more=True)
        assert second == Pruned(0, 1, more=False)


async def test_pruners_that_race_leave_each_number_once(postgres_url: str) -> None:
    kept = Kept(DAY, 10)
    async with opened(postgres_url) as one, opened(postgres_url) as two, sql_of(one) as sql:
        await fill(sql, [9] * 400)

        async def work(database: Database) -> int:
            count = 0
            while len(await sequences_of(database)) > 10:
                count += (await prune_once(database, kept, 7)).count
            return count

        counts = await asyncio.gather(work(one), work(two))
        assert sum(counts) == 390
        assert await sequences(sql, "pruned_changes") == list(range(1, 391))


async def sequences_of(database: Database) -> list[int]:
    async with sql_of(database) as sql:
        return await sequences(sql, "changes")


async def test_whoever_reads_meanwhile_sees_the_history_as_it_was(postgres_url: str) -> None:
    async with opened(postgres_url) as database, sql_of(database) as sql:
        await fill(sql, [9] * 4)
        async with sql.transaction(isolation="repeatable_read", readonly=True):
            assert len(await sequences(sql, "changes")) == 4
            assert (await prune_all(database, Kept(DAY, 0))).count == 4
            assert len(await sequences(sql, "changes")) == 4
        assert await sequences(sql, "changes") == []


async def test_an_erasure_and_a_pruner_never_work_at_once(postgres_url: str) -> None:
    async with opened(postgres_url) as database, sql_of(database) as sql:
        await fill(sql, [9] * 4)

        async def erase(connection: Any) -> Pruned:
            await history_pruning.keep_out(connection)
            async with asyncio.timeout(5):
                return await prune_once(database, Kept(DAY, 0))

        assert await database.write(erase) == Pruned(0, 1, more=False)
        assert (await prune_once(database, Kept(DAY, 0))).count == 4
