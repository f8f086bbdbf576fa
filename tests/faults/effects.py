"""Faults on a stack that is used, one at a time."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random
from typing import Any

from tests.faults.faults import FAULTS
from tests.faults.faults.fault import Fault
from tests.faults.scene import Scene


class Least(Random):
    """Decides for the first of what there is to choose from."""

    def choice(self, seq: Any) -> Any:
        return seq[0]

    def random(self) -> float:
        return 0.0


class Most(Random):
    """Decides for the last of what there is to choose from."""

    def choice(self, seq: Any) -> Any:
        return seq[-1]

    def random(self) -> float:
        return 0.99


@asynccontextmanager
async def holding(name: str, played: Scene, chance: Random | None = None) -> AsyncIterator[Fault]:
    """The fault holds in the block, and is seen to. Afterwards an award is on the board."""
    fault = FAULTS[name].make(chance or Least())
    await fault.prepare(played.stack)
    try:
        await fault.begin(played.stack)
        assert fault.target
        yield fault
    finally:
        await fault.heal(played.stack)
    assert fault.effect, "nothing of it was to be seen"
    total = (await played.award()).total
    await played.board_holds(total)
    assert played.stack.deaths == []
