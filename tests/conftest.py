"""Real servers: one PostgreSQL for each worker, a database and a Redis for each test."""

import asyncio
import os
import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import datetime
from itertools import count
from pathlib import Path

import pytest

from progress_service.composition import build, now
from progress_service.settings import ProgressSettings
from progress_service.store.database import Database
from shared.embedded.postgres import EmbeddedPostgres
from shared.embedded.redis import EmbeddedRedis
from tests.access import AUTH_SECRET
from tests.memory_folder import new_folder
from tests.progress import Progress
from tests.redis_cluster import TestCluster
from tests.signing import SECRET

_TEMPLATE = "laurel_template"
_numbers = count(1)


def pytest_configure() -> None:
    """The secrets that services require, also those that run as processes of their own; and no
    bound on what one user does, which most tests let do everything.
    """
    os.environ["LAUREL_TOKEN_SECRET"] = SECRET
    os.environ["LAUREL_AUTH_SECRET"] = AUTH_SECRET
    os.environ["LAUREL_MAX_ATTEMPTS_PER_MINUTE"] = "0"
    os.environ["LAUREL_MAX_ATTEMPTS_PER_DAY"] = "0"


@pytest.fixture(scope="session")
def scratch() -> Iterator[Path]:
    """A short-pathed folder of this worker's own: socket paths are limited to 107 bytes."""
    folder = new_folder("laurel-")
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


@pytest.fixture(scope="session")
def postgres_server(scratch: Path) -> Iterator[EmbeddedPostgres]:
    """PostgreSQL with a migrated template database."""
    server = EmbeddedPostgres(scratch / "postgres", fast=True)
    server.start()
    try:
        server.create_database(_TEMPLATE)
        asyncio.run(_migrate(server.url(_TEMPLATE)))
        yield server
    finally:
        server.stop()


async def _migrate(url: str) -> None:
    database = Database(ProgressSettings(postgres_url=url))
    await database.migrate()
    await database.close()


@contextmanager
def new_database(server: EmbeddedPostgres) -> Iterator[str]:
    """The address of a database that is cloned from the template."""
    name = f"test_{next(_numbers)}"
    server.create_database(name, template=_TEMPLATE)
    try:
        yield server.url(name)
    finally:
        server.drop_database(name)


@pytest.fixture
def postgres_url(postgres_server: EmbeddedPostgres) -> Iterator[str]:
    """A database of the test's own."""
    with new_database(postgres_server) as url:
        yield url


@contextmanager
def new_redis(scratch: Path) -> Iterator[EmbeddedRedis]:
    """A Redis in memory."""
    server = EmbeddedRedis(scratch / f"redis-{next(_numbers)}", persist=False)
    server.start()
    try:
        yield server
    finally:
        server.stop()


@pytest.fixture
def redis_server(scratch: Path) -> Iterator[EmbeddedRedis]:
    """A Redis of the test's own."""
    with new_redis(scratch) as server:
        yield server


@pytest.fixture
def redis_url(redis_server: EmbeddedRedis) -> str:
    """Its address."""
    return redis_server.url()


@pytest.fixture(scope="session")
def redis_cluster(scratch: Path) -> Iterator[TestCluster]:
    """A Redis Cluster of three masters, of this worker's own."""
    cluster = TestCluster(scratch / "cluster")
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()


@pytest.fixture
def redis_cluster_url(redis_cluster: TestCluster) -> str:
    """Its address; it is empty."""
    for node in redis_cluster.masters:
        node.client.flushall()
    return redis_cluster.url


@asynccontextmanager
async def running_progress(
    settings: ProgressSettings, clock: Callable[[], datetime] = now, port: int = 0
) -> AsyncIterator[Progress]:
    """ProgressService in this event loop, SERVING; on a free port if none is given."""
    app = build(settings, port=port, now=clock)
    stopped = asyncio.Event()
    serving = asyncio.create_task(app.serve(stopped))
    ready = asyncio.create_task(app.ready.wait())
    await asyncio.wait({serving, ready}, return_when=asyncio.FIRST_COMPLETED)
    ready.cancel()
    if serving.done():
        await serving
    progress = Progress(app)
    try:
        yield progress
    finally:
        await progress.close()
        stopped.set()
        await serving


@contextmanager
def serving(postgres_url: str) -> Iterator[tuple[asyncio.Runner, Progress]]:
    """ProgressService in a loop that runs while an example of a property does."""
    with asyncio.Runner() as runner:
        running = running_progress(ProgressSettings(postgres_url=postgres_url, drain_seconds=0.5))
        try:
            yield runner, runner.run(running.__aenter__())
        finally:
            runner.run(running.__aexit__(None, None, None))


@pytest.fixture
async def progress(postgres_url: str) -> AsyncIterator[Progress]:
    """ProgressService on a database of the test's own."""
    settings = ProgressSettings(postgres_url=postgres_url, drain_seconds=0.5)
    async with running_progress(settings) as running:
        yield running


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Shows what tests have measured (`record_property("measured", line)`), passed or not."""
    for reports in terminalreporter.stats.values():
        for report in reports:
            if isinstance(report, pytest.TestReport) and report.when == "call":
                for name, line in report.user_properties:
                    if name == "measured":
                        terminalreporter.write_line(str(line), bold=True)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """In CI everything is there that a test needs, so nothing may be skipped."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if os.environ.get("LAUREL_NO_SKIPS") == "1" and reporter is not None:
        skipped = reporter.stats.get("skipped", [])
        if skipped:
            reporter.write_line(f"{len(skipped)} skipped, which LAUREL_NO_SKIPS forbids", red=True)
            session.exitstatus = pytest.ExitCode.TESTS_FAILED
