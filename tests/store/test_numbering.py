"""Numbering a batch takes time by its size, whatever the planner believes of the queue."""

from uuid import uuid4

from sqlalchemy import text

from progress_service.settings import ProgressSettings
from progress_service.store import numbering
from progress_service.store.database import Database

BACKLOG = 10_000

_INSERT = """
    INSERT INTO unnumbered_changes (kind, user_id, display_name, avatar_url, hidden)
    SELECT 2, 'u' || n, '', '', false FROM generate_series(1, $1::int) n
"""


async def test_a_backlog_after_a_vacuum_of_the_empty_queue_is_numbered_in_one_pass(
    postgres_url: str,
) -> None:
    database = Database(ProgressSettings(postgres_url=postgres_url))
    sql = await database.connect()
    try:
        await sql.execute(_INSERT, BACKLOG)
        await sql.execute("DELETE FROM unnumbered_changes")
        # The queue has many pages and, as far as statistics go, no rows.
        await sql.execute("VACUUM (ANALYZE, TRUNCATE off) unnumbered_changes")
        await sql.execute(_INSERT, BACKLOG)
        async with database.engine.connect() as connection, connection.begin():
            # A plan that compares every row with every other takes many times as long.
            await connection.execute(text("SET LOCAL statement_timeout = '5s'"))
            batch = await numbering.number_batch(connection, uuid4(), BACKLOG, 60.0)
        assert (batch.count, batch.head, batch.more) == (BACKLOG, BACKLOG, True)
    finally:
        await sql.close()
        await database.close()
