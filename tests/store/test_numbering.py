"""Numbering a batch takes time by its size, whatever the planner believes of the queue."""

import asyncio
from uuid import uuid4

from sqlalchemy import text
from structlog.testing import capture_logs

from progress_service.sequencer import Sequencer
from progress_service.settings import ProgressSettings
from progress_service.store import numbering
from progress_service.store.database import Database
from tests.progress import eventually

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


async def test_a_sequencer_says_which_error_it_lost_the_database_by(postgres_url: str) -> None:
    """A statement that takes too long is among what counts as such."""
    database = Database(ProgressSettings(postgres_url=postgres_url))
    sql = await database.connect()
    sequencer = Sequencer(database, 100, 60.0, lambda: None)
    try:
        await sql.execute(
            """CREATE FUNCTION late() RETURNS trigger LANGUAGE plpgsql AS
               $$ BEGIN RAISE EXCEPTION 'late' USING ERRCODE = '57014'; END $$;
               CREATE TRIGGER late BEFORE INSERT ON changes EXECUTE FUNCTION late()"""
        )
        await sql.execute(_INSERT, 1)
        with capture_logs() as logs:
            running = asyncio.create_task(sequencer.run())

            async def warned() -> bool:
                return bool(logs)

            await eventually(warned, "the sequencer fails")
            running.cancel()
            await asyncio.wait([running])
        lost = [one for one in logs if one["event"] == "sequencer lost the database"]
        assert lost
        assert {one["sqlstate"] for one in lost} == {"57014"}
    finally:
        await sql.close()
        await database.close()
