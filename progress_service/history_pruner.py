"""Prunes the history in the background, a few changes at a time, one replica at a time."""

import asyncio
import random
import time
from dataclasses import dataclass, field

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from progress_service import metrics
from progress_service.store import history_pruning
from progress_service.store.database import Database, Purpose
from progress_service.store.history_pruning import Kept, Pruned
from shared.errors import LaurelError

log = structlog.get_logger(__name__)

_BATCH = 5_000
"""Some 50 ms of work: as long as an erasure may have to wait for it."""
_LEAST_BATCH = 50
_LEAST_REST_S = 0.05
_REST = 2.0
"""Times as long as a batch took: writers come first."""
_LEAST_PAUSE_S = 0.1
_MOST_PAUSE_S = 30.0
_PART = 100
"""Of the age that is kept, how much later than that a change may go."""
_FIRST_FAILURE_PAUSE_S = 1.0
_MAX_FAILURE_PAUSE_S = 300.0


@dataclass
class HistoryPruner:
    """`run` in the background, in each replica; does not run when everything is kept."""

    database: Database
    kept: Kept
    batch_size: int = _BATCH
    _limit: int = field(init=False)
    _since: int = 0
    """Pruned, and not logged yet."""

    def __post_init__(self) -> None:
        self._limit = self.batch_size

    async def run(self) -> None:
        """Prunes until cancelled, at most a third of the time; after a failure, smaller batches
        and growing pauses.
        """
        if not self.kept.age:
            return
        failures = 0
        await asyncio.sleep(self._pause_s())
        while True:
            began_at = time.monotonic()
            try:
                pruned = await self.prune_once()
            except Exception as error:
                metrics.PRUNING_FAILURES.inc()
                if isinstance(error, LaurelError):
                    log.warning("pruning waits for the database", reason=error.reason)
                else:
                    log.exception("pruning failed")
                await asyncio.sleep(_failure_pause_s(failures))
                failures += 1
                continue
            failures = 0
            self._note(pruned)
            if pruned.more:
                took_s = time.monotonic() - began_at
                await asyncio.sleep(max(took_s * _REST, _LEAST_REST_S))
            else:
                await asyncio.sleep(self._pause_s())

    async def prune_once(self) -> Pruned:
        """One batch; raises as `Database.write`."""
        limit = self._limit

        async def work(connection: AsyncConnection) -> Pruned:
            return await history_pruning.prune(connection, self.kept, limit)

        # Unless it ends well the next one is smaller, for this one may have taken too long.
        self._limit = min(limit, max(limit // 4, _LEAST_BATCH))
        pruned = await self.database.write(work, Purpose.JOB)
        self._limit = min(limit * 2, self.batch_size)
        return pruned

    def _note(self, pruned: Pruned) -> None:
        metrics.PRUNED_CHANGES.inc(pruned.count)
        metrics.OLDEST_SEQUENCE.set(pruned.oldest_sequence)
        self._since += pruned.count
        if self._since and not pruned.more:
            log.info("history pruned", changes=self._since, oldest=pruned.oldest_sequence)
            self._since = 0

    def _pause_s(self) -> float:
        longest = self.kept.age.total_seconds() / _PART
        longest = min(max(longest, _LEAST_PAUSE_S), _MOST_PAUSE_S)
        return longest * random.uniform(0.5, 1.0)


def _failure_pause_s(failures: int) -> float:
    longest = min(_FIRST_FAILURE_PAUSE_S * 2.0 ** min(failures, 30), _MAX_FAILURE_PAUSE_S)
    return longest * random.uniform(0.5, 1.0)
