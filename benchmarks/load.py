"""Calls in flight from this process to one method of one server."""

import asyncio
import time
from collections.abc import Iterator
from dataclasses import dataclass

import psutil
from grpc import aio

from benchmarks.callers import bearer
from benchmarks.scene import Server
from shared.identity import Role

IN_FLIGHT = 32
CALL_TIMEOUT_S = 30.0


@dataclass(frozen=True)
class Turn:
    """What one stretch of load got done, and the processor time that the server took for it."""

    calls: int
    seconds: float
    server_cpu_s: float

    @property
    def per_second(self) -> float:
        """Answered calls a second."""
        return self.calls / self.seconds


class Side:
    """One method of one server, called with encoded requests; answers are not decoded.

    So the client, which shares the processors with the server, costs as little as it can, and
    the same for both sides; both get a backend's token, which the echo server does not look at.
    """

    def __init__(self, server: Server, method: str, requests: Iterator[bytes]) -> None:
        self._server = psutil.Process(server.pid)
        self._channel = aio.insecure_channel(server.address)
        self._call: aio.UnaryUnaryMultiCallable[bytes, bytes] = self._channel.unary_unary(method)
        self._token = bearer(Role.SERVICE)
        self._requests = requests
        self.answer = b""
        """The newest one."""

    async def call(self) -> bytes:
        """One call, with the next request."""
        self.answer = await self._call(
            next(self._requests), timeout=CALL_TIMEOUT_S, metadata=self._metadata()
        )
        return self.answer

    async def turn(self, seconds: float) -> Turn:
        """Keeps IN_FLIGHT calls under way for about `seconds`, until all are answered."""
        server_s = _cpu_s(self._server)
        started = time.perf_counter()
        counts = await asyncio.gather(*(self._caller(started + seconds) for _ in range(IN_FLIGHT)))
        took_s = time.perf_counter() - started
        return Turn(
            calls=sum(counts),
            seconds=took_s,
            server_cpu_s=_cpu_s(self._server) - server_s,
        )

    async def _caller(self, until: float) -> int:
        calls = 0
        call = self._call
        metadata = self._metadata()
        clock = time.perf_counter
        for request in self._requests:
            self.answer = await call(request, timeout=CALL_TIMEOUT_S, metadata=metadata)
            calls += 1
            if clock() >= until:
                break
        return calls

    def _metadata(self) -> tuple[tuple[str, str], ...]:
        return (("authorization", self._token()),)

    async def close(self) -> None:
        """Closes the connection."""
        await self._channel.close()


def _cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system
