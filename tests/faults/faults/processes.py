"""Processes that are killed, or stopped and continued."""

import asyncio
from collections.abc import Mapping
from functools import partial
from random import Random
from types import MappingProxyType
from typing import cast

import asyncpg
import psutil

from tests.faults.faults.fault import Fault, Kind
from tests.faults.stack import Stack

_PARTS = ("progress", "leaderboard", "postgres", "redis")
_MOST_PAUSE_S = 0.5
_LEASE_S = 1.0
_HOLDER = """SELECT a.application_name FROM public.history h
             JOIN pg_stat_activity a ON a.pid = h.holder_pid AND a.backend_start = h.holder_start"""


class Kill(Fault):
    """SIGKILL; it is started again when the fault is healed."""

    _before: Mapping[str, int] = MappingProxyType({})

    def __init__(self, part: str, chance: Random) -> None:
        super().__init__(chance)
        self._part = part

    async def begin(self, stack: Stack) -> None:
        self.target = _process(self._part, stack, self.chance)
        self._before = stack.pids
        await stack.kill(self.target)

    async def heal(self, stack: Stack) -> None:
        if self.target:
            await stack.restart(self.target)
            self.effect = _replaced(self._before, stack, [self.target])


class KillAll(Fault):
    """Every process is killed, in any order, and started again in any order, with time between."""

    _before: Mapping[str, int] = MappingProxyType({})

    async def begin(self, stack: Stack) -> None:
        names = _shuffled(stack, self.chance)
        self.target = ", ".join(names)
        self._before = stack.pids
        for name in names:
            await stack.kill(name)

    async def heal(self, stack: Stack) -> None:
        for name in _shuffled(stack, self.chance):
            await stack.restart(name)
            await asyncio.sleep(self.chance.uniform(0.0, _MOST_PAUSE_S))
        self.effect = _replaced(self._before, stack, list(stack.servers))


class Freeze(Fault):
    """SIGSTOP of the whole family, then SIGCONT."""

    def __init__(self, part: str, chance: Random) -> None:
        super().__init__(chance)
        self._part = part

    async def begin(self, stack: Stack) -> None:
        self.target = _process(self._part, stack, self.chance)
        await stack.freeze(self.target)

    async def heal(self, stack: Stack) -> None:
        if self.target:
            self.effect = _stopped(stack, [self.target])
            await stack.thaw(self.target)


class Replicas(Fault):
    """Of two replicas of each service the one that numbers is killed, or stopped until after its
    lease, and perhaps one that follows with it: so that the tenure moves.
    """

    def __init__(self, chance: Random) -> None:
        super().__init__(chance)
        self._targets: list[str] = []
        self._before: Mapping[str, int] = {}

    async def begin(self, stack: Stack) -> None:
        self._targets = [await _holder(stack) or _process("progress", stack, self.chance)]
        if self.chance.random() < 0.5:
            self._targets.append(_process("leaderboard", stack, self.chance))
        does = self.chance.choice((stack.kill, stack.freeze))
        self.target = f"{does.__name__} {', '.join(self._targets)}"
        self._before = stack.pids
        for target in self._targets:
            await does(target)

    async def heal(self, stack: Stack) -> None:
        stopped = _stopped(stack, self._targets)
        for target in self._targets:
            await stack.thaw(target)
            await stack.restart(target)
        self.effect = stopped or _replaced(self._before, stack, self._targets)


async def _holder(stack: Stack) -> str | None:
    """The replica that numbers; None when PostgreSQL does not say: others may have stopped it."""
    try:
        async with asyncio.timeout(1.0), stack.postgres.connection() as connection:
            return cast("str | None", await connection.fetchval(_HOLDER))
    except (OSError, TimeoutError, asyncpg.PostgresError):
        return None


def _replaced(before: Mapping[str, int], stack: Stack, names: list[str]) -> str:
    """What there is to see of processes that were killed; "" when one is the one of before."""
    after = stack.pids
    if any(before.get(name) == after.get(name) for name in names):
        return ""
    return ", ".join(f"{name} {before.get(name)} → {after.get(name)}" for name in names)


def _stopped(stack: Stack, names: list[str]) -> str:
    """What there is to see of processes that are stopped; "" when one is not."""
    pids = stack.pids
    stands = (
        name in pids and psutil.Process(pids[name]).status() == psutil.STATUS_STOPPED
        for name in names
    )
    return f"{', '.join(names)} stood still" if names and all(stands) else ""


def _shuffled(stack: Stack, chance: Random) -> list[str]:
    return chance.sample(list(stack.servers), len(stack.servers))


def _process(part: str, stack: Stack, chance: Random) -> str:
    """One of those of this part."""
    return chance.choice([name for name in stack.servers if name.startswith(part)])


KINDS = [
    *(Kind(f"kill.{part}", frozenset({part}), partial(Kill, part)) for part in _PARTS),
    Kind("kill.all", frozenset(_PARTS), KillAll),
    *(Kind(f"freeze.{part}", frozenset({part}), partial(Freeze, part)) for part in _PARTS),
    Kind(
        "replicas",
        frozenset({"progress", "leaderboard"}),
        Replicas,
        replicas=2,
        settings={"LAUREL_SEQUENCER_LEASE_SECONDS": str(_LEASE_S)},
    ),
]
