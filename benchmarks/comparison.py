"""A service's method and the bare echo, in turns: echo, service, echo, service…

A machine that grows slower or faster does so for both. The figure is the median of the ratios of
the pairs.
"""

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from itertools import cycle

from benchmarks.echo import method_for
from benchmarks.figures import median, table
from benchmarks.load import IN_FLIGHT, Side, Turn
from benchmarks.scene import Scene

WARM_UP_S = 0.5


@dataclass(frozen=True)
class Pair:
    """A turn of each, and how long the service still worked on what its turn had left behind."""

    echo: Turn
    service: Turn
    settling_s: float

    @property
    def ratio(self) -> float:
        """The service's calls a second to those of echo."""
        return self.service.per_second / self.echo.per_second


@dataclass(frozen=True)
class Claim:
    """What is measured: its name, and the ratio to be reached."""

    name: str
    goal: float


async def _nothing() -> None:
    """Reads leave nothing behind."""


@dataclass(frozen=True)
class Comparison:
    """One method, called with `service`; echo gets the same `requests` in a circle.

    `check` ends the program when an answer is not of the kind that is to be measured; `settled`
    returns when the work that a turn has left behind is done.
    """

    scene: Scene
    claim: Claim
    service: Side
    requests: list[bytes]
    check: Callable[[bytes], None]
    settled: Callable[[], Awaitable[None]] = _nothing

    async def run(self) -> None:
        """Measures and prints."""
        answer = await self.service.call()
        self.check(answer)
        echo = Side(self.scene.echo, method_for(len(answer)), cycle(self.requests))
        try:
            await self._pair(echo, WARM_UP_S)
            pairs = [await self._pair(echo, self.scene.turn_s) for _ in range(self.scene.pairs)]
        finally:
            await echo.close()
            await self.service.close()
        self._print(len(answer), pairs)

    async def _pair(self, echo: Side, turn_s: float) -> Pair:
        await self.settled()
        of_echo = await echo.turn(turn_s)
        of_service = await self.service.turn(turn_s)
        ended = time.monotonic()
        self.check(self.service.answer)
        await self.settled()
        return Pair(of_echo, of_service, time.monotonic() - ended)

    def _print(self, answer_bytes: int, pairs: list[Pair]) -> None:
        ratio = median([pair.ratio for pair in pairs])
        goal = self.claim.goal
        verdict = "reached" if ratio >= goal else "NOT REACHED"
        print(f"\n{self.claim.name}: {ratio:.2f} of echo (goal {goal}: {verdict})")
        print(f"  {IN_FLIGHT} calls in flight, answers of {answer_bytes} bytes")
        rows = [
            [
                str(number),
                f"{pair.echo.per_second:,.0f}",
                f"{pair.service.per_second:,.0f}",
                f"{pair.ratio:.2f}",
                _cpu(pair.echo),
                _cpu(pair.service),
            ]
            for number, pair in enumerate(pairs, 1)
        ]
        columns = ["turn", "echo/s", "service/s", "ratio", "echo CPU", "service CPU"]
        print(table(columns, rows))
        print("  CPU: of the server process alone, for one call")
        if self.settled is not _nothing:
            settling_s = median([pair.settling_s for pair in pairs])
            print(f"  everything was on the boards {settling_s:.2f} s after a turn (median)")
        print(end="", flush=True)


def _cpu(turn: Turn) -> str:
    return f"{1e6 * turn.server_cpu_s / turn.calls:.0f} us"
