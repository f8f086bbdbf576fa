"""Numbers committed changes 1, 2, 3… and folds them into standings, one replica at a time."""

import asyncio
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from uuid import UUID, uuid4

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from progress_service import metrics
from progress_service.store import numbering
from progress_service.store.database import Database
from progress_service.store.driver import is_connection_loss, sql_state
from progress_service.store.numbering import Batch

log = structlog.get_logger(__name__)

_POLL_S = 0.05
"""How long a change of another replica's writer may lie unseen; our own wake us."""
_MAX_PAUSE_S = 2.0
_STAND_BY_S = 0.5
_LOCKED_S = 0.01
_PACE_S = 0.02
_LEAST_BATCH = 100
_WRITERS_FIRST_S = 30.0
"""For how long of a backlog writers come first: then folding takes half of the time."""
_WRITING_S = 0.25
"""Writers count as busy for this long after a commit."""


@dataclass
class Sequencer:
    """`run` in the background; `wake` after every commit of this process.

    Its database connection is its own: when that is lost, so is the tenure, for the database
    that answers next may be one that was restored.
    """

    database: Database
    batch_size: int
    lease_s: float
    on_numbered: Callable[[], None]
    _holder: UUID = field(default_factory=uuid4)
    _limit: int = field(init=False)
    _pause_s: float = _POLL_S
    _woken: asyncio.Event = field(default_factory=asyncio.Event)
    _renew_at: float = 0.0
    _committed_at: float = 0.0
    _caught_up_at: float = 0.0

    def __post_init__(self) -> None:
        self._limit = self.batch_size

    def wake(self) -> None:
        """There may be something to number."""
        self._committed_at = time.monotonic()
        self._woken.set()

    async def run(self) -> None:
        """Numbers until cancelled; after a failure, smaller batches and growing pauses."""
        while True:
            try:
                async with self.database.engine.connect() as connection:
                    await self._hold_tenure(connection)
            except Exception as error:
                metrics.SEQUENCER_FAILURES.inc()
                if is_connection_loss(error):
                    log.warning(
                        "sequencer lost the database",
                        error=type(error).__name__,
                        sqlstate=sql_state(error),
                    )
                else:
                    log.exception("sequencer failed")
            self._limit = max(self._limit // 4, _LEAST_BATCH)
            await asyncio.sleep(self._pause_s * random.uniform(0.5, 1.0))
            self._pause_s = min(self._pause_s * 2, _MAX_PAUSE_S)

    async def _hold_tenure(self, connection: AsyncConnection) -> None:
        """Works on one connection for as long as it lives."""
        self._renew_at = 0.0
        while True:
            await self._stand_by(connection)
            await self._number(connection)

    async def _stand_by(self, connection: AsyncConnection) -> None:
        """Returns when no other replica has the lease."""
        standing_by = False
        while True:
            async with connection.begin():
                if not await numbering.is_held_by_other(connection, self._holder):
                    return
            if not standing_by:
                log.info("another replica numbers; standing by")
            standing_by = True
            self._pause_s = _POLL_S
            await asyncio.sleep(min(self.lease_s / 4, _STAND_BY_S) * random.uniform(0.5, 1.0))

    async def _number(self, connection: AsyncConnection) -> None:
        """Numbers for as long as this replica has the lease."""
        while True:
            self._woken.clear()
            began_at = time.monotonic()
            batch = await self._turn(connection)
            self._pause_s = _POLL_S
            if batch is None:
                await self._idle()
                continue
            if batch.held_by_other:
                return
            if batch.locked:
                await asyncio.sleep(_LOCKED_S * random.uniform(0.5, 1.0))
                continue
            if batch.began_tenure:
                metrics.TENURES.inc()
                log.info("began to number", head=batch.head)
            self._renew_at = time.monotonic() + self.lease_s / 3
            if batch.count:
                metrics.HEAD_SEQUENCE.set(batch.head)
                self.on_numbered()
                await self._yield_to_writers(batch, time.monotonic() - began_at)
            else:
                await self._idle()

    async def _turn(self, connection: AsyncConnection) -> Batch | None:
        """One batch; None when nothing waits and the lease need not be renewed yet."""
        if time.monotonic() < self._renew_at:
            async with connection.begin():
                if not await numbering.anything_waits(connection):
                    return None
        started = time.perf_counter()
        async with connection.begin():
            batch = await numbering.number_batch(
                connection, self._holder, self._limit, self.lease_s
            )
        if batch.count:
            metrics.SEQUENCER_SECONDS.observe(time.perf_counter() - started)
            metrics.SEQUENCER_BATCHES.inc()
            metrics.SEQUENCER_CHANGES.inc(batch.count)
        return batch

    async def _yield_to_writers(self, batch: Batch, took_s: float) -> None:
        """Rests while writers are busy, at least as long as the batch took.

        A batch costs a few milliseconds whatever is in it, so a moment's rest makes the next one
        cheaper by the change; and in a burst, answers come before boards. Full batches wait
        for writers only for a while (see above), since then the boards fall behind. A special
        change is a batch by itself, which no rest makes cheaper.
        """
        now = time.monotonic()
        rest_s = took_s if batch.alone else max(took_s, _PACE_S)
        if not batch.more:
            self._caught_up_at = now
        else:
            self._limit = min(self._limit * 2, self.batch_size)
            if now - self._caught_up_at >= _WRITERS_FIRST_S:
                return
        if now - self._committed_at < _WRITING_S:
            await asyncio.sleep(min(rest_s, self.lease_s / 4))

    async def _idle(self) -> None:
        self._caught_up_at = time.monotonic()
        try:
            async with asyncio.timeout(_POLL_S):
                await self._woken.wait()
        except TimeoutError:
            pass
