"""Real servers: one PostgreSQL for each worker, a database and a Redis for each test."""

import asyncio
import os
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import datetime
from itertools import count
from pathlib import Path

import pytest

from progress_service.composition import build, now
from progress_service.settings import ProgressSettings
from progress_service.store.database import Database
from shared.embedded.postgres import EmbeddedPostgres
from shared.embedded.redis import EmbeddedRedis
from tests.progress import Progress

_TEMPLATE = "laurel_template"
_numbers = count(1)


@pytest.fixture(scope="session")
def scratch() -> Iterator[Path]:
    """A short-pathed folder of this worker's own: socket paths are limited to 107 bytes."""
    with tempfile.TemporaryDirectory(prefix="laurel-") as folder:
        yield Path(folder)


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


@pytest.fixture
def postgres_url(postgres_server: EmbeddedPostgres) -> Iterator[str]:
    """A database of the test's own, cloned from the template."""
    name = f"test_{next(_numbers)}"
    postgres_server.create_database(name, template=_TEMPLATE)
    yield postgres_server.url(name)
    postgres_server.drop_database(name)


@pytest.fixture
def redis_server(scratch: Path) -> Iterator[EmbeddedRedis]:
    """A Redis of the test's own, in memory."""
    server = EmbeddedRedis(scratch / f"redis-{next(_numbers)}", persist=False)
    server.start()
    yield server
    server.stop()


@pytest.fixture
def redis_url(redis_server: EmbeddedRedis) -> str:
    """Its address."""
    return redis_server.url()


@asynccontextmanager
async def running_progress(
    settings: ProgressSettings, clock: Callable[[], datetime] = now
) -> AsyncIterator[Progress]:
    """ProgressService in this event loop, on a free port, SERVING."""
    app = build(settings, port=0, now=clock)
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
