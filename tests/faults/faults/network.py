"""Hops that are slow, that break, or that swallow everything."""

import asyncio
from functools import partial
from random import Random

from tests.faults.faults.fault import Fault, Kind
from tests.faults.hops import HOPS
from tests.faults.proxy import Mode, Proxy
from tests.faults.stack import Stack


class Network(Fault):
    """Of all connections of the hop: where there are replicas, perhaps of one alone."""

    def __init__(self, hop: str, chance: Random) -> None:
        super().__init__(chance)
        self._hop = hop
        self._proxies: list[Proxy] = []
        self._touched = 0

    def choose(self, stack: Stack, what: str) -> list[Proxy]:
        """The proxies that are concerned."""
        proxies = stack.hops[self._hop]
        one = self.chance.choice(proxies)
        self._proxies = proxies if self.chance.random() < 0.5 else [one]
        self._touched = self._count()
        numbers = [proxies.index(proxy) for proxy in self._proxies]
        self.target = f"{self._hop} {numbers}: {what}"
        return self._proxies

    def see(self) -> None:
        """Notes what it has done by now; before it is healed."""
        touched = self._count() - self._touched
        self.effect = f"{touched} bytes or connections" if touched else ""

    def _count(self) -> int:
        return sum(proxy.touched for proxy in self._proxies)

    async def heal(self, stack: Stack) -> None:
        self.see()
        for proxy in self._proxies:
            await proxy.heal()


class Latency(Network):
    """Each way takes longer, more or less."""

    async def begin(self, stack: Stack) -> None:
        delay_s = self.chance.choice((0.01, 0.05, 0.3))
        jitter_s = delay_s * self.chance.choice((0.1, 1.0))
        for proxy in self.choose(stack, f"{delay_s:g} s and up to {jitter_s:g} s"):
            proxy.shape(Mode(delay_s=delay_s, jitter_s=jitter_s))


class Throttle(Network):
    """So many bytes a second each way, on each connection."""

    async def begin(self, stack: Stack) -> None:
        bytes_per_s = self.chance.choice((2_000, 10_000, 50_000))
        for proxy in self.choose(stack, f"{bytes_per_s} bytes/s"):
            proxy.shape(Mode(bytes_per_s=bytes_per_s))


class HalfOpen(Network):
    """Connections stand, and take what is sent, but nothing arrives: in one direction or both. In
    the end what was sent arrives after all, or the connections are reset.
    """

    async def begin(self, stack: Stack) -> None:
        up, down = self.chance.choice(((True, True), (True, True), (True, False), (False, True)))
        held = " and ".join(["up"] * up + ["down"] * down)
        for proxy in self.choose(stack, f"nothing passes {held}"):
            proxy.shape(Mode(held_up=up, held_down=down))

    async def heal(self, stack: Stack) -> None:
        self.see()
        close_held = self.chance.random() < 0.5
        for proxy in self._proxies:
            await proxy.heal(close_held=close_held)


class Reset(Network):
    """Connections end with RST: new ones too, or now and then all that are open."""

    _storm: asyncio.Task[None] | None = None

    async def begin(self, stack: Stack) -> None:
        pause_s = self.chance.choice((0.0, 0.05, 0.5))
        proxies = self.choose(stack, f"every {pause_s:g} s" if pause_s else "always")
        if pause_s:
            self._storm = asyncio.create_task(_reset_every(pause_s, proxies))
        else:
            for proxy in proxies:
                proxy.keep_resetting()

    async def heal(self, stack: Stack) -> None:
        if self._storm is not None:
            self._storm.cancel()
        await super().heal(stack)


async def _reset_every(pause_s: float, proxies: list[Proxy]) -> None:
    while True:
        for proxy in proxies:
            proxy.reset()
        await asyncio.sleep(pause_s)


_FAULTS = {"latency": Latency, "reset": Reset, "half_open": HalfOpen, "throttle": Throttle}
KINDS = [
    Kind(f"{name}.{hop}", frozenset({hop}), partial(fault, hop))
    for name, fault in _FAULTS.items()
    for hop in HOPS
]
