"""Wall clocks that jump, and back when the fault is healed."""

import time
from datetime import timedelta
from functools import partial
from random import Random

from tests.faults.clock import WallClock
from tests.faults.faults.fault import Fault, Kind
from tests.faults.stack import Stack

_JUMPS = (
    timedelta(minutes=3),
    timedelta(hours=1, minutes=7),
    timedelta(days=1),
    timedelta(days=40),
)


class Jump(Fault):
    """The clock of one replica goes forward or back."""

    def __init__(self, part: str, chance: Random) -> None:
        super().__init__(chance)
        self._part = part
        self._jumped: WallClock | None = None

    async def begin(self, stack: Stack) -> None:
        services = stack.progress if self._part == "progress" else stack.leaderboard
        number = self.chance.randrange(len(services))
        by = self.chance.choice(_JUMPS) * self.chance.choice((1, -1))
        self.target = f"{self._part}-{number} by {by.total_seconds():+g} s"
        services[number].clock.jump(by)
        self._jumped = services[number].clock

    async def heal(self, stack: Stack) -> None:
        if self._jumped is not None:
            off_s = self._jumped.time() - time.time()
            self.effect = f"off by {off_s:.0f} s" if abs(off_s) > 1 else ""
        for service in stack.progress if self._part == "progress" else stack.leaderboard:
            service.clock.set_right()


KINDS = [
    Kind(f"clock.{part}", frozenset({f"clock of {part}"}), partial(Jump, part))
    for part in ("progress", "leaderboard")
]
