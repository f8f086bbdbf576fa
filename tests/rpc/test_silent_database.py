"""A link to PostgreSQL on which nothing arrives any more, and which nobody ends."""

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from grpc import aio

from progress_service import health
from progress_service.settings import ProgressSettings
from shared.errors import Unavailable
from tests.conftest import running_progress
from tests.faults.proxy import HALF_OPEN, Proxy
from tests.ports import free_port
from tests.progress import Progress, eventually, refused


@asynccontextmanager
async def _linked(postgres_url: str) -> AsyncIterator[tuple[Proxy, Progress]]:
    """ProgressService behind a link that can go silent."""
    url = urlsplit(postgres_url)
    socket = Path(parse_qs(url.query)["host"][0]) / ".s.PGSQL.5432"
    proxy = Proxy(socket, free_port(), random.random)
    await proxy.start()
    settings = ProgressSettings(
        postgres_url=f"postgresql://laurel@{proxy.address}{url.path}", drain_seconds=0.5
    )
    try:
        async with running_progress(settings) as progress:
            yield proxy, progress
    finally:
        await proxy.close()


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "_ANSWER_S", 0.25)
    monkeypatch.setattr(health, "_CHECK_S", 0.05)


async def test_who_waits_for_a_silent_database_is_told(postgres_url: str) -> None:
    async with _linked(postgres_url) as (proxy, progress):
        await progress.put_users("ann")
        await progress.award("ann", 1, request_id="before")
        proxy.shape(HALF_OPEN)
        async with refused(Unavailable, "DATABASE_UNAVAILABLE"):
            await progress.award("ann", 2, request_id="lost")


async def test_connections_that_went_silent_are_replaced(postgres_url: str) -> None:
    async with _linked(postgres_url) as (proxy, progress):
        await progress.put_users("ann")
        await progress.award("ann", 1)
        proxy.silence()
        async with refused(Unavailable, "DATABASE_UNAVAILABLE"):
            await progress.award("ann", 2, request_id="kept")

        async def repeated() -> bool:
            try:
                await progress.award("ann", 2, request_id="kept")
            except aio.AioRpcError:
                return False
            return True

        await eventually(repeated, "the database is used again")
        assert (await progress.totals("ann"))["xp"] == 3
