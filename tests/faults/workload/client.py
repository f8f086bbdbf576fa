"""A client of the stack: it does one thing after the other until it is told to stop."""

import asyncio
import random
from abc import ABC, abstractmethod
from dataclasses import dataclass
from datetime import date

from tests.faults.workload.recorder import Asker

READ_S, WRITE_S = 2.0, 2.5
"""Deadlines of calls."""


@dataclass(frozen=True)
class Run:
    """What all clients of a run share. `today` is the day on which it began."""

    seed: int
    today: date
    stopping: asyncio.Event


class Client(ABC):
    """Does what `act` says, at most `rate` times a second. What it does the k-th time follows from
    the run's seed, its name, k, and from ids that it was answered before; never from the time.
    """

    def __init__(self, run: Run, ask: Asker, rate: float) -> None:
        self._run = run
        self.ask = ask
        self._every_s = 1 / rate
        self._number = 0

    @property
    def name(self) -> str:
        return self.ask.client

    @property
    def today(self) -> date:
        return self._run.today

    async def live(self) -> None:
        """Returns when the run stops, and what was begun is done."""
        while not self._run.stopping.is_set():
            due = asyncio.get_running_loop().time() + self._every_s
            self._number += 1
            chance = random.Random(f"{self._run.seed}/{self.name}/{self._number}")
            await self.act(self._number, chance)
            await self._rest(due - asyncio.get_running_loop().time())

    @abstractmethod
    async def act(self, number: int, chance: random.Random) -> None:
        """The `number`-th thing that it does."""

    async def _rest(self, seconds: float) -> None:
        """Waits so long, or until the run stops."""
        if seconds > 0:
            try:
                async with asyncio.timeout(seconds):
                    await self._run.stopping.wait()
            except TimeoutError:
                return
