"""Calls in flight from one process, to a service and to the bare echo in turns."""

import asyncio
import os
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from itertools import cycle

import psutil
from grpc import aio

from benchmarks.echo import method_for
from benchmarks.figures import median, table
from benchmarks.scene import Scene, Server

IN_FLIGHT = 32
CALL_TIMEOUT_S = 30.0
WARM_UP_S = 0.5


@dataclass(frozen=True)
class Turn:
    """What one stretch of load got done, and the processor time that the server took for it."""

    calls: int
    seconds: float
    server_cpu_s: float
    client_cpu_s: float

    @property
    def per_second(self) -> float:
        """Answered calls a second."""
        return self.calls / self.seconds


class Side:
    """One method of one server, called with encoded requests; answers are not decoded.

    So the client, which shares the processors with the server, costs as little as it can, and
    the same for both sides.
    """

    def __init__(self, server: Server, method: str, requests: Iterator[bytes]) -> None:
        self._server = psutil.Process(server.pid)
        self._client = psutil.Process()
        self._channel = aio.insecure_channel(server.address)
        self._call: aio.UnaryUnaryMultiCallable[bytes, bytes] = self._channel.unary_unary(method)
        self._requests = requests
        self.answer = b""
        """The newest one."""

    async def call(self) -> bytes:
        """One call, with the next request."""
        self.answer = await self._call(next(self._requests), timeout=CALL_TIMEOUT_S)
        return self.answer

    async def turn(self, seconds: float) -> Turn:
        """Keeps IN_FLIGHT calls under way for about `seconds`, until all are answered."""
        server_s, client_s = _cpu_s(self._server), _cpu_s(self._client)
        started = time.perf_counter()
        counts = await asyncio.gather(*(self._caller(started + seconds) for _ in range(IN_FLIGHT)))
        took_s = time.perf_counter() - started
        return Turn(
            calls=sum(counts),
            seconds=took_s,
            server_cpu_s=_cpu_s(self._server) - server_s,
            client_cpu_s=_cpu_s(self._client) - client_s,
        )

    async def _caller(self, until: float) -> int:
        calls = 0
        call = self._call
        clock = time.perf_counter
        for request in self._requests:
            self.answer = await call(request, timeout=CALL_TIMEOUT_S)
            calls += 1
            if clock() >= until:
                break
        return calls

    async def close(self) -> None:
        """Closes the connection."""
        await self._channel.close()


def _cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system


@dataclass(frozen=True)
class Claim:
    """What is compared with echo: its name, and the ratio to be reached."""

    name: str
    goal: float


async def no_wait() -> None:
    """Nothing is left to be done after a turn."""


@dataclass(frozen=True)
class Comparison:
    """A service's method and the echo, in turns."""

    scene: Scene
    claim: Claim
    service: Side
    requests: list[bytes]
    check: Callable[[bytes], None]
    """Ends the program when an answer is not of the kind that is to be measured."""
    settled: Callable[[], Awaitable[None]] = no_wait
    """Returns when the work that the service's turn has left behind is done."""

    async def run(self) -> None:
        """Measures and prints."""
        answer = await self.service.call()
        self.check(answer)
        echo = Side(self.scene.echo, method_for(len(answer)), cycle(self.requests))
        turns: list[tuple[Turn, Turn]] = []
        try:
            for number in range(self.scene.pairs + 1):
                turn_s = self.scene.turn_s if number else WARM_UP_S
                await self.settled()
                pair = (await echo.turn(turn_s), await self.service.turn(turn_s))
                self.check(self.service.answer)
                if number:
                    turns.append(pair)
            await self.settled()
        finally:
            await echo.close()
            await self.service.close()
        self._print(len(answer), turns)

    def _print(self, answer_bytes: int, turns: list[tuple[Turn, Turn]]) -> None:
        ratio = median([service.per_second / echo.per_second for echo, service in turns])
        goal = self.claim.goal
        verdict = "reached" if ratio >= goal else "NOT REACHED"
        print(f"\n{self.claim.name}: {ratio:.2f} of echo (goal {goal}: {verdict})")
        print(f"  {IN_FLIGHT} calls in flight, answers of {answer_bytes} bytes")
        rows = [
            [
                str(number),
                f"{echo.per_second:,.0f}",
                f"{service.per_second:,.0f}",
                f"{service.per_second / echo.per_second:.2f}",
                _cost(echo),
                _cost(service),
            ]
            for number, (echo, service) in enumerate(turns, 1)
        ]
        columns = ["turn", "echo/s", "service/s", "ratio", "echo CPU", "service CPU"]
        print(table(columns, rows))
        print("  CPU: the server process's own, in microseconds a call", flush=True)
        if os.environ.get("BENCH_DEBUG"):
            print([(_client_cost(e), _client_cost(s)) for e, s in turns], file=sys.stderr)


def _cost(turn: Turn) -> str:
    return f"{1e6 * turn.server_cpu_s / turn.calls:.0f} us"


def _client_cost(turn: Turn) -> str:
    return f"{1e6 * turn.client_cpu_s / turn.calls:.0f}"
