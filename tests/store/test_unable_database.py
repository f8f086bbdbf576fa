"""A database that answers that it cannot work just now: as one that does not answer."""

from collections.abc import AsyncIterator

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from progress_service.settings import ProgressSettings
from progress_service.store.database import Database
from shared.errors import Unavailable

_UNABLE = {
    "53100": "disk_full",
    "53200": "out_of_memory",
    "53300": "too_many_connections",
    "57014": "query_canceled",
    "57P03": "cannot_connect_now",
    "58030": "io_error",
    "25006": "read_only_sql_transaction",
}


@pytest.fixture
async def database(postgres_url: str) -> AsyncIterator[Database]:
    opened = Database(ProgressSettings(postgres_url=postgres_url))
    yield opened
    await opened.close()


async def _fail(connection: AsyncConnection, state: str) -> None:
    raised = f"DO $$ BEGIN RAISE EXCEPTION 'a secret' USING ERRCODE = '{state}'; END $$"
    await connection.execute(text(raised))


@pytest.mark.parametrize("state", _UNABLE, ids=_UNABLE.get)
async def test_what_the_database_cannot_do_now_can_be_tried_again(
    database: Database, state: str
) -> None:
    with pytest.raises(Unavailable) as read:
        async with database.read() as connection:
            await _fail(connection, state)
    with pytest.raises(Unavailable) as written:
        await database.write(lambda connection: _fail(connection, state))
    for caught in (read, written):
        assert caught.value.reason == "DATABASE_UNAVAILABLE"
        assert "secret" not in caught.value.message
    async with database.read() as connection:
        assert (await connection.execute(text("SELECT 1"))).scalar_one() == 1


async def test_a_mistake_of_ours_is_no_trouble_of_the_database(database: Database) -> None:
    with pytest.raises(DBAPIError):
        async with database.read() as connection:
            await _fail(connection, "42601")
