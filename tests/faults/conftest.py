"""The harness runs on the loop that the services run on."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping

import pytest
import pytest_asyncio
import uvloop

from tests.faults.plan import Plan
from tests.faults.scene import Scene, scene


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """For every test of this folder."""
    return {"uvloop": uvloop.new_event_loop}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def played(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Scene]:
    """One stack for all that need no other: each fault leaves it well."""
    async with scene(tmp_path_factory.mktemp("stack"), Plan(1, 8.0)) as made:
        await made.award()
        yield made
