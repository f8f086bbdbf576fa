"""A PostgreSQL that holds what it held once, or that has no room."""

from contextlib import suppress

from tests.faults.faults.fault import Fault, Kind
from tests.faults.hops import PROGRESS_POSTGRES
from tests.faults.postgres_server import may_mount
from tests.faults.stack import Stack
from tests.faults.waiting import until

_LEAST_LOST_S = 1.0
_LITTLE = 1 << 20


class Restore(Fault):
    """A copy that was taken some time ago takes the place of what is there, as after a disaster."""

    _copied = 0.0
    _copy_ended = 0.0
    _head = 0

    async def prepare(self, stack: Stack) -> None:
        self._copied = stack.elapsed()
        await stack.postgres.copy_to(stack.folder / "base-copy")
        self._copy_ended = stack.elapsed()
        self._head = await stack.head()

    async def begin(self, stack: Stack) -> None:
        self.target = "postgres"
        await self._wait_for_something_to_lose(stack)
        for proxy in stack.hops[PROGRESS_POSTGRES]:
            await proxy.refuse()
        await stack.postgres.end_sessions()
        reached = await stack.head()
        await stack.finish_branch()
        await stack.kill("postgres")
        stack.begin_branch(self._copied)
        await stack.postgres.restore(stack.folder / "base-copy")
        undone = reached - await stack.head()
        self.effect = f"{undone} changes undone" if undone > 0 else ""
        await _connect(stack)

    async def heal(self, stack: Stack) -> None:
        await _connect(stack)

    async def _wait_for_something_to_lose(self, stack: Stack) -> None:
        """A copy may take all the time that there was for it. Without writers, returns anyway."""

        async def is_there() -> bool:
            waited_s = stack.elapsed() - self._copy_ended
            return waited_s >= _LEAST_LOST_S and await stack.head() > self._head

        with suppress(TimeoutError):
            await until(is_there, "changes since the copy", 2 * _LEAST_LOST_S)


class DiskFull(Fault):
    """No room for one more page, and perhaps none for the log either: then the server goes down."""

    async def begin(self, stack: Stack) -> None:
        also_log = self.chance.random() < 0.3
        self.target = "postgres, data and log" if also_log else "postgres, data"
        await stack.postgres.fill_disk(also_log=also_log)
        if stack.postgres.room < _LITTLE:
            self.effect = f"{stack.postgres.room} bytes left"

    async def heal(self, stack: Stack) -> None:
        await stack.postgres.clear_disk()
        await stack.postgres.recover()


async def _connect(stack: Stack) -> None:
    for proxy in stack.hops[PROGRESS_POSTGRES]:
        await proxy.heal()


KINDS = [
    Kind("postgres.restore", frozenset({"postgres", PROGRESS_POSTGRES}), Restore),
    Kind("postgres.disk_full", frozenset({"postgres"}), DiskFull, is_possible=may_mount),
]
