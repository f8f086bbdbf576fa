"""LAUREL_POSTGRES_URL as libpq writes it, and what becomes of one that the server refuses."""

import os
import subprocess
import sys
from urllib.parse import urlsplit, urlunsplit

import pytest
from sqlalchemy import text

from progress_service.settings import ProgressSettings
from progress_service.store.database import Database
from progress_service.store.driver import Driver
from shared.embedded.postgres import EmbeddedPostgres
from shared.errors import Unavailable
from tests.ports import free_port


def with_query(url: str, more: str) -> str:
    return f"{url}{'&' if '?' in url else '?'}{more}"


async def test_parameters_of_libpq_work(postgres_url: str) -> None:
    more = "sslmode=prefer&connect_timeout=7&application_name=mine&keepalives=1"
    url = with_query(postgres_url, more).replace("postgresql://", "postgres://")
    database = Database(ProgressSettings(postgres_url=url))
    await database.migrate()
    async with database.read() as connection:
        shown = {}
        for name in ("application_name", "timezone", "statement_timeout", "lock_timeout"):
            shown[name] = (await connection.execute(text(f"SHOW {name}"))).scalar_one()
    await database.close()
    assert shown == {
        "application_name": "mine",
        "timezone": "UTC",
        "statement_timeout": "30s",
        "lock_timeout": "2s",
    }


async def test_a_migration_may_take_as_long_as_it_takes(postgres_url: str) -> None:
    connection = await Driver(postgres_url).connect_patiently()
    for name in ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout"):
        assert await connection.fetchval(f"SHOW {name}") == "0"
    await connection.close()


@pytest.mark.parametrize(
    ("url", "good"),
    [
        ("postgresql://a:1,b:2/laurel", True),
        ("postgresql://[::1]:5432/laurel", True),
        ("postgresql://u:p@a,b:2/laurel", True),
        ("postgresql:///laurel?host=/run", True),
        ("postgresql://a:1,b:x/laurel", False),
        ("postgresql://a:70000/laurel", False),
    ],
)
def test_a_url_may_name_several_hosts(url: str, *, good: bool) -> None:
    if good:
        assert ProgressSettings(postgres_url=url).postgres_url == url
    else:
        with pytest.raises(ValueError, match="port from 1 to 65535"):
            ProgressSettings(postgres_url=url)


def started(url: str) -> subprocess.CompletedProcess[str]:
    """The service's process; it must end by itself."""
    return subprocess.run(
        [sys.executable, "-m", "progress_service"],
        env={
            **os.environ,
            "LAUREL_POSTGRES_URL": url,
            "LAUREL_METRICS_PORT": "0",
            "LAUREL_PROGRESS_PORT": str(free_port()),
            "LAUREL_LOG_LEVEL": "warning",
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("wrong", ["database", "role", "parameter", "sslmode"])
def test_a_url_that_the_server_refuses_is_one_line_and_exit_status_2(
    postgres_server: EmbeddedPostgres, wrong: str
) -> None:
    url = postgres_server.url("nothing" if wrong == "database" else "laurel_template")
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    if wrong == "role":
        url = urlunsplit(parts._replace(netloc=f"nobody:secret@{host}"))
    elif wrong == "parameter":
        url = with_query(url, "no_such_parameter=1")
    elif wrong == "sslmode":
        url = with_query(url, "sslmode=sometimes")
    ended = started(url)
    assert ended.returncode == 2, ended.stderr
    (line,) = ended.stderr.splitlines()
    assert line.startswith("laurel: bad setting LAUREL_POSTGRES_URL: ")
    assert "secret" not in line


async def test_an_error_of_the_callers_own_files_is_none_of_the_database(postgres_url: str) -> None:
    database = Database(ProgressSettings(postgres_url=postgres_url))

    async def spooling() -> None:
        async with database.read() as connection:
            await connection.execute(text("SELECT 1"))
            raise OSError(28, "disk full")

    with pytest.raises(OSError, match="disk full"):
        await spooling()
    await database.close()


async def test_a_connection_that_is_cut_within_a_read_is_a_matter_of_the_database(
    postgres_url: str,
) -> None:
    database = Database(ProgressSettings(postgres_url=postgres_url))
    killer = await database.connect()

    async def reading() -> None:
        async with database.read() as connection:
            pid = (await connection.execute(text("SELECT pg_backend_pid()"))).scalar_one()
            await killer.execute("SELECT pg_terminate_backend($1, 5000)", pid)
            await connection.execute(text("SELECT 1"))

    with pytest.raises(Unavailable, match="does not answer"):
        await reading()
    await killer.close()
    await database.close()


async def test_no_error_tells_what_a_statement_was_given(postgres_url: str) -> None:
    database = Database(ProgressSettings(postgres_url=postgres_url))
    with pytest.raises(Exception, match="division by zero") as caught:
        async with database.read() as connection:
            await connection.execute(text("SELECT 1 / 0, CAST(:given AS text)"), {"given": "Ann"})
    assert "Ann" not in str(caught.value)
    await database.close()
