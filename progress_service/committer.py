"""Commits concurrent submissions and awards in groups, each with its own outcome.

A commit costs the same for one as for many, so whatever has arrived while the writers were
busy goes into the next group. A user has at most one command under way; further ones wait
their turn, in order of arrival.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache

import structlog
from prometheus_client import Counter

from progress_service import metrics
from progress_service.credit_log import CreditLog
from progress_service.domain.plausibility import REFUSALS
from progress_service.store.group_writer import GroupWriter
from progress_service.store.outcomes import Command, Outcome, Recorded
from shared.caller import request_id
from shared.errors import LaurelError, ResourceExhausted, Unavailable

log = structlog.get_logger(__name__)


_WORTHWHILE = 24
"""Commands that justify another transaction at once: by then each costs little more alone."""
_GATHER_S = 0.01


@dataclass(slots=True)
class _Waiting:
    command: Command
    call_id: str
    answer: "asyncio.Future[Outcome]"


@dataclass(slots=True)
class GroupCommitter:
    """`record` from any number of calls; `run` in the background."""

    groups: GroupWriter[Command, Recorded]
    credit_log: CreditLog
    on_commit: Callable[[], None]
    group_size: int
    writers: int
    queue_size: int
    _by_user: dict[str, deque[_Waiting]] = field(default_factory=dict)
    _ready: deque[str] = field(default_factory=deque)
    _count: int = 0
    _writing: int = 0
    _wake: asyncio.Event = field(default_factory=asyncio.Event)
    _gathered: asyncio.Event = field(default_factory=asyncio.Event)

    async def record(self, command: Command) -> Recorded:
        """The command's outcome once it is committed.

        Raises what refused it; ResourceExhausted (QUEUE_FULL) when too many wait. A caller
        that goes away before its turn leaves no trace; later, the command may be recorded.
        """
        if self._count >= self.queue_size:
            raise ResourceExhausted(
                "QUEUE_FULL", "Too many submissions are waiting.", retry_delay_s=0.5
            )
        answer: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        waiting = self._by_user.get(command.user_id)
        if waiting is None:
            waiting = self._by_user[command.user_id] = deque()
            self._ready.append(command.user_id)
        waiting.append(_Waiting(command, request_id(), answer))
        self._count += 1
        metrics.COMMANDS_WAITING.set(self._count)
        self._wake.set()
        if len(self._ready) >= _WORTHWHILE:
            self._gathered.set()
        outcome = await answer
        if isinstance(outcome, Recorded):
            return outcome
        raise outcome

    async def run(self) -> None:
        """Commits groups until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for _ in range(self.writers):
                tasks.create_task(self._write_groups())

    async def _write_groups(self) -> None:
        while True:
            await self._turn()
            group = self._take()
            self._writing += 1
            try:
                await self._commit(group)
            finally:
                self._writing -= 1
                self._release(group)

    async def _turn(self) -> None:
        """Returns when there is a group that is worth a transaction.

        While another group is being written, what arrives is gathered: until that one is
        done, or enough has come together, or a moment has passed.
        """
        while True:
            while not self._ready:
                self._wake.clear()
                await self._wake.wait()
            if not self._writing or len(self._ready) >= _WORTHWHILE:
                return
            self._gathered.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(_GATHER_S):
                    await self._gathered.wait()
            if self._ready:
                return

    def _take(self) -> list[_Waiting]:
        """The first command of each user whose turn it is; abandoned ones are dropped."""
        group: list[_Waiting] = []
        while self._ready and len(group) < self.group_size:
            user_id = self._ready.popleft()
            waiting = self._by_user[user_id]
            while waiting and waiting[0].answer.done():
                waiting.popleft()
                self._count -= 1
            if waiting:
                group.append(waiting[0])
            else:
                del self._by_user[user_id]
        return group

    def _release(self, group: list[_Waiting]) -> None:
        for one in group:
            if not one.answer.done():
                # Cut short by the shutdown: it may or may not be committed.
                one.answer.set_result(Unavailable("DRAINING", "This server is shutting down."))
            user_id = one.command.user_id
            waiting = self._by_user[user_id]
            waiting.popleft()
            self._count -= 1
            if waiting:
                self._ready.append(user_id)
            else:
                del self._by_user[user_id]
        metrics.COMMANDS_WAITING.set(self._count)
        self._gathered.set()
        if self._ready:
            self._wake.set()

    async def _commit(self, group: list[_Waiting]) -> None:
        if not group:
            return
        started = time.perf_counter()
        outcomes: Sequence[Outcome]
        try:
            outcomes = await self.groups.write([one.command for one in group])
        except LaurelError as error:
            outcomes = [error] * len(group)
        except Exception:
            log.exception("group failed", commands=len(group))
            outcomes = [Unavailable("WRITE_FAILED", "The write failed; retry it.")] * len(group)
        metrics.GROUP_SECONDS.observe(time.perf_counter() - started)
        metrics.GROUP_COMMANDS.observe(len(group))
        self.on_commit()
        self.credit_log.write(outcomes, [one.call_id for one in group])
        for one, outcome in zip(group, outcomes, strict=True):
            count(one.command, outcome)
            if not one.answer.done():
                one.answer.set_result(outcome)


def count(command: Command, outcome: Outcome) -> None:
    """Counts an outcome: recorded, replayed, or the reason of the refusal; and what was not
    plausible.
    """
    kind = command.kind.name.lower()
    if isinstance(outcome, LaurelError):
        label = outcome.reason
        if label in REFUSALS:
            metrics.IMPLAUSIBLE.labels(kind, outcome.metadata["bound"], "refused").inc()
    else:
        label = "replayed" if outcome.replayed else "recorded"
        if outcome.held:
            metrics.IMPLAUSIBLE.labels(kind, outcome.held, "under_review").inc()
    _counter(kind, label).inc()


@lru_cache(maxsize=256)
def _counter(kind: str, outcome: str) -> Counter:
    return metrics.COMMANDS.labels(kind, outcome)
