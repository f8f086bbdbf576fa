"""The embedded PostgreSQL: starts, stops, keeps its data, survives a crash, is private."""

import os
import shutil
import signal
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import asyncpg
import psutil
import pytest

from shared.embedded.errors import EmbeddedError
from shared.embedded.leftover import still_alive
from shared.embedded.postgres import EmbeddedPostgres
from tests.listeners import listening_addresses


@pytest.fixture
def folder() -> Iterator[Path]:
    # Not tmp_path: its parents are closed to the user that PostgreSQL runs as under root.
    path = Path(tempfile.mkdtemp(prefix="laurel-test-"))
    yield path
    shutil.rmtree(path)


@pytest.fixture
def postgres(folder: Path) -> Iterator[EmbeddedPostgres]:
    server = EmbeddedPostgres(folder / "postgres", fast=True)
    server.start()
    yield server
    server.stop()


async def value(server: EmbeddedPostgres, query: str, database: str = "laurel") -> Any:
    connection = await asyncpg.connect(server.url(database))
    try:
        return await connection.fetchval(query)
    finally:
        await connection.close()


async def test_it_is_utf8_with_checksums_and_commits_synchronously(
    postgres: EmbeddedPostgres,
) -> None:
    assert await value(postgres, "SHOW server_version_num") >= "180000"
    assert await value(postgres, "SHOW data_checksums") == "on"
    assert await value(postgres, "SHOW synchronous_commit") == "on"
    assert await value(postgres, "SHOW server_encoding") == "UTF8"
    assert await value(postgres, "SELECT upper('é')") == "É"
    assert await value(postgres, "SELECT 'Z' < 'a'") is True


async def test_data_is_kept_across_a_stop(postgres: EmbeddedPostgres) -> None:
    await value(postgres, "CREATE TABLE kept AS SELECT 7 AS n")
    postgres.stop()
    assert not postgres.running
    postgres.start()

    assert await value(postgres, "SELECT n FROM kept") == 7


async def test_what_was_committed_survives_a_kill(postgres: EmbeddedPostgres) -> None:
    await value(postgres, "CREATE TABLE kept AS SELECT 7 AS n")
    postgres.kill()
    postgres.start()

    assert await value(postgres, "SELECT n FROM kept") == 7


async def test_it_starts_again_after_its_postmaster_alone_was_killed(
    postgres: EmbeddedPostgres,
) -> None:
    connection = await asyncpg.connect(postgres.url())
    os.kill(postgres.pid, signal.SIGKILL)
    assert not still_alive([psutil.Process(postgres.pid)], 10)
    postgres.start()

    assert await value(postgres, "SELECT 1") == 1
    connection.terminate()


def test_it_starts_in_spite_of_stale_lock_files_and_a_broken_first_start(folder: Path) -> None:
    server = EmbeddedPostgres(folder / "postgres", fast=True)
    (folder / "postgres" / "data.new").mkdir(parents=True)
    (folder / "postgres" / "data.new" / "PG_VERSION").write_text("18\n")
    server.start()
    server.kill()
    # A process that is alive and is no PostgreSQL now has the number.
    for lock in ("data/postmaster.pid", "socket/.s.PGSQL.5432.lock"):
        (folder / "postgres" / lock).write_text(f"{os.getppid()}\n")
    server.start()
    server.stop()


async def test_two_servers_run_side_by_side(postgres: EmbeddedPostgres, folder: Path) -> None:
    other = EmbeddedPostgres(folder / "other", fast=True)
    other.start()
    try:
        await value(other, "CREATE TABLE only_there AS SELECT 1 AS n")
        assert await value(postgres, "SELECT to_regclass('only_there')") is None
    finally:
        other.stop()


def test_a_directory_in_use_is_refused(postgres: EmbeddedPostgres, folder: Path) -> None:
    with pytest.raises(EmbeddedError, match="in use"):
        EmbeddedPostgres(folder / "postgres", fast=True).start()


def test_nothing_listens_on_tcp_and_the_socket_is_private(
    postgres: EmbeddedPostgres, folder: Path
) -> None:
    server = psutil.Process(postgres.pid)
    assert listening_addresses([server, *server.children(recursive=True)]) == set()
    for name in ("socket", "data"):
        assert stat.S_IMODE((folder / "postgres" / name).stat().st_mode) == 0o700


async def test_a_database_is_a_copy_of_its_template(postgres: EmbeddedPostgres) -> None:
    await value(postgres, "CREATE TABLE t AS SELECT 3 AS n")
    postgres.create_database("copy", template="laurel")

    assert await value(postgres, "SELECT n FROM t", "copy") == 3
    postgres.drop_database("copy")
    with pytest.raises(asyncpg.InvalidCatalogNameError):
        await value(postgres, "SELECT 1", "copy")


def test_nothing_is_left_running_after_a_stop(folder: Path) -> None:
    server = EmbeddedPostgres(folder / "postgres", fast=True)
    server.start()
    process = psutil.Process(server.pid)
    family = [process, *process.children(recursive=True)]
    server.stop()

    assert still_alive(family, 5) == []


@pytest.mark.parametrize("name", ["d" * 70 + "/" + "e" * 70, "a b, 'c' \"d\" %20 é"])
async def test_deep_and_odd_directories_are_no_obstacle(folder: Path, name: str) -> None:
    server = EmbeddedPostgres(folder / name, fast=True)
    server.start()
    try:
        assert await value(server, "SELECT 1") == 1
    finally:
        server.stop()
