"""Boards that are asked for from each store in turn, and from where they are answered."""

from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio

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
