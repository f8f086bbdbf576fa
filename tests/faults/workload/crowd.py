"""All clients of a run."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime

from tests.faults.workload import world
from tests.faults.workload.client import WRITE_S, Client, Run
from tests.faults.workload.connection import SMALL_WINDOW, Addresses, Connection
from tests.faults.workload.flood import Flood
from tests.faults.workload.provoker import Provoker
from tests.faults.workload.reader import PROBER, Prober, Reader
from tests.faults.workload.recorder import Asker, Recorder
from tests.faults.workload.returner import Returner
from tests.faults.workload.watcher import Copier, Follower, Spectator, Staller, Visitor
from tests.faults.workload.writer import Burst, Eraser, Writer, settle
from tests.faults.workload.writes import Write

Make = Callable[[Run, Asker, asyncio.Event], Client]
_READ_ROLE, _WRITE_ROLE = "service", "admin"


@dataclass(frozen=True)
class Kind:
    """So many clients of one kind."""

    name: str
    count: int
    make: Make
    role: str = _READ_ROLE
    options: Sequence[tuple[str, int]] = ()
    """Of its channels."""


KINDS = (
    Kind("writer", 5, lambda run, ask, end: Writer(run, ask, 7, end), _WRITE_ROLE),
    Kind("burst", 1, lambda run, ask, end: Burst(run, ask, 2, end), _WRITE_ROLE),
    Kind("eraser", 1, lambda run, ask, end: Eraser(run, ask, 0.5, end), _WRITE_ROLE),
    Kind("reader", 5, lambda run, ask, _: Reader(run, ask, 10)),
    Kind("returner", 1, lambda run, ask, _: Returner(run, ask, 4), _WRITE_ROLE),
    Kind(PROBER, 1, lambda run, ask, _: Prober(run, ask, 20)),
    Kind("follower", 1, lambda run, ask, _: Follower(run, ask, 5)),
    Kind("staller", 2, lambda run, ask, _: Staller(run, ask, 5), options=SMALL_WINDOW),
    Kind("provoker", 1, lambda run, ask, _: Provoker(run, ask, 1), _WRITE_ROLE),
    Kind("visitor", 1, lambda run, ask, _: Visitor(run, ask, 1)),
    Kind("copier", 1, lambda run, ask, _: Copier(run, ask, 0.5)),
    Kind("spectator", 3, lambda run, ask, _: Spectator(run, ask, 2)),
    Kind("flood", 1, lambda run, ask, _: Flood(run, ask, 0.25)),
)


@dataclass
class Crowd:
    """The clients of a run, all on connections of their own. They begin with `begin` and end with
    `stop`, when every write has its definite answer or `settle_s` have passed.
    """

    recorder: Recorder
    clients: list[Client]
    _run: Run
    _gave_up: asyncio.Event = field(default_factory=asyncio.Event)
    _living: asyncio.Task[None] | None = None

    def begin(self) -> None:
        self._living = asyncio.create_task(self._live())

    async def _live(self) -> None:
        async with asyncio.TaskGroup() as group:
            for client in self.clients:
                group.create_task(client.live(), name=client.name)

    async def work(self, seconds: float) -> None:
        """Lets them work so long. Raises what any of them failed with meanwhile."""
        assert self._living is not None
        done, _ = await asyncio.wait({self._living}, timeout=seconds)
        for living in done:
            await living

    def halt(self) -> None:
        """No client begins anything from now on; streams are left."""
        self._run.stopping.set()
        self.recorder.leave_all()

    async def stop(self, settle_s: float) -> None:
        """Returns when all clients are done. Raises what any of them failed with."""
        self.halt()
        assert self._living is not None
        await asyncio.wait({self._living}, timeout=settle_s)
        self._gave_up.set()
        await self._living

    async def cancel(self) -> None:
        """Ends everything at once."""
        self.halt()
        if self._living is not None:
            self._living.cancel()
            await asyncio.gather(self._living, return_exceptions=True)


@asynccontextmanager
async def crowd(seed: int, recorder: Recorder, addresses: Addresses) -> AsyncIterator[Crowd]:
    """A crowd that has not begun; when the block ends nothing is left of it."""
    run = Run(seed, datetime.now(UTC).date(), asyncio.Event())
    gathered = Crowd(recorder, [], run)
    connections: list[Connection] = []
    try:
        for kind in KINDS:
            for number in range(kind.count):
                name = f"{kind.name}-{number}" if kind.count > 1 else kind.name
                connections.append(Connection(addresses, kind.role, name, number, kind.options))
                ask = recorder.asker(name, connections[-1])
                gathered.clients.append(kind.make(run, ask, gathered._gave_up))
        yield gathered
    finally:
        await gathered.cancel()
        await asyncio.gather(*(one.close() for one in connections))


async def found(recorder: Recorder, addresses: Addresses) -> None:
    """Makes users and courses, through calls that are recorded as any other."""
    connection = Connection(addresses, _WRITE_ROLE, "founder")
    try:
        ask, never = recorder.asker("founder", connection), asyncio.Event()
        async with asyncio.timeout(10 * WRITE_S), asyncio.TaskGroup() as group:
            settling = [
                group.create_task(settle(ask, Write(path, request), never))
                for path, request in world.founding()
            ]
        for call in (task.result() for task in settling):
            assert call.response is not None, call
    finally:
        await connection.close()
