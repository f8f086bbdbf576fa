"""Whoever holds a lock that others wait for has bounded beforehand how long it can hold it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import CursorResult, TextClause, text
from sqlalchemy.ext.asyncio import AsyncConnection

from progress_service.history_pruner import HistoryPruner
from progress_service.settings import ProgressSettings
from progress_service.store import history_pruning, numbering
from progress_service.store.database import Database
from progress_service.store.history_pruning import Kept
from shared.errors import Unavailable
from tests.pruned import NO_AGE

FILL = """INSERT INTO changes (sequence, change_id, kind, user_id, numbered_time)
          SELECT n, n, 2, 'ann', now() - interval '1 day' FROM generate_series(1, $1::int) n"""
# Each deleted change takes 12.5 ms more.
SLOW = """
    CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN PERFORM pg_sleep(0.0125); RETURN OLD; END $$;
    CREATE TRIGGER slow BEFORE DELETE ON changes FOR EACH ROW EXECUTE FUNCTION slow();
"""
_BOUNDS = text(
    """SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory'
                      AND pid = pg_backend_pid()) AS locked,
              current_setting('idle_in_transaction_session_timeout') AS idle,
              current_setting('statement_timeout') AS statement"""
)


@dataclass
class Watched:
    """A connection; `held`: the bounds (idle, statement) after each statement that left an
    advisory lock held.
    """

    connection: AsyncConnection
    held: set[tuple[str, str]] = field(default_factory=set)

    async def execute(
        self, statement: TextClause, params: Mapping[str, Any] | None = None
    ) -> CursorResult[Any]:
        result = await self.connection.execute(statement, params)
        bounds = (await self.connection.execute(_BOUNDS)).one()
        if bounds.locked:
            self.held.add((bounds.idle, bounds.statement))
        return result


async def bounds_of_pruning(connection: AsyncConnection) -> set[tuple[str, str]]:
    watched: Any = Watched(connection)
    assert (await history_pruning.prune(watched, Kept(NO_AGE, 0), 5)).count == 5
    return set(watched.held)


async def bounds_of_numbering(connection: AsyncConnection) -> set[tuple[str, str]]:
    watched: Any = Watched(connection)
    assert (await numbering.number_batch(watched, uuid4(), 5, 60.0)).began_tenure
    return set(watched.held)


@pytest.mark.parametrize(
    ("work", "bounds"),
    [(bounds_of_pruning, ("1s", "2s")), (bounds_of_numbering, ("10s", "30s"))],
    ids=["pruning", "numbering"],
)
async def test_a_lock_is_never_held_without_its_bounds(
    postgres_url: str, work: Any, bounds: tuple[str, str]
) -> None:
    database = Database(ProgressSettings(postgres_url=postgres_url))
    sql = await database.connect()
    try:
        await sql.execute(FILL, 10)
        await sql.execute("UPDATE history SET head_sequence = 10")
        assert await database.write(work) == {bounds}
    finally:
        await sql.close()
        await database.close()


async def test_a_batch_that_takes_too_long_is_followed_by_smaller_ones(postgres_url: str) -> None:
    database = Database(ProgressSettings(postgres_url=postgres_url))
    sql = await database.connect()
    try:
        await sql.execute(FILL, 400)
        await sql.execute("UPDATE history SET head_sequence = 400")
        await sql.execute(SLOW)
        pruner = HistoryPruner(database, Kept(NO_AGE, 0), batch_size=240)
        with pytest.raises(Unavailable):
            await pruner.prune_once()
        assert await sql.fetchval("SELECT count(*) FROM changes") == 400, "nothing is lost"
        assert (await pruner.prune_once()).count == 60
        await sql.execute("DROP TRIGGER slow ON changes")
        assert [(await pruner.prune_once()).count for _ in range(2)] == [120, 220]
    finally:
        await sql.close()
        await database.close()
