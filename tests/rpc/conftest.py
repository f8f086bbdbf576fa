"""Servers that the tests of a module share."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncpg
import pytest
import pytest_asyncio

from shared.embedded.postgres import EmbeddedPostgres
from tests.access_world import World, new_stores, open_world
from tests.board_scene import STORES, Place, Scene, open_place, open_scene


@pytest.fixture(scope="module", params=STORES)
def place(request: pytest.FixtureRequest) -> Iterator[Place]:
    """Servers of a module's own; tests run on one store after the other."""
    with open_place(request.param, request) as found:
        yield found


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def scene(place: Place) -> AsyncIterator[Scene]:
    """Made once for all tests of a module, which share its event loop and change nothing."""
    async with open_scene(place) as found:
        yield found


@pytest.fixture(scope="module")
def stores(postgres_server: EmbeddedPostgres, scratch: Path) -> Iterator[tuple[str, str]]:
    """A database and a Redis of a module's own, for the tests of who may call."""
    with new_stores(postgres_server, scratch) as found:
        yield found


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(stores: tuple[str, str]) -> AsyncIterator[World]:
    """Both services on them, and someone to call about."""
    async with open_world(*stores) as found:
        yield found


@pytest.fixture
async def sql(postgres_url: str) -> AsyncIterator[asyncpg.Connection]:
    """A connection to look with; what it sees changes, for it is in no transaction."""
    connection = await asyncpg.connect(postgres_url)
    yield connection
    await connection.close()
