"""Connections of one purpose: so many at once, and whoever waits for one is seen."""

import asyncio

import structlog

from progress_service import metrics
from shared.errors import ResourceExhausted
from shared.trouble import Trouble

log = structlog.get_logger(__name__)


def database_busy() -> ResourceExhausted:
    """There was no connection in time; nothing was done."""
    return ResourceExhausted(
        "DATABASE_BUSY", "All database connections are in use.", retry_delay_s=0.5
    )


class Slots:
    """`most` at once. Whoever waits longer than `patience_s` is refused; None: nobody is."""

    def __init__(self, purpose: str, most: int, patience_s: float | None) -> None:
        self._purpose = purpose
        self._patience_s = patience_s
        self._free = asyncio.Semaphore(most)
        self._trouble = Trouble(log)
        self.in_use = 0
        self.waiting = 0
        metrics.DATABASE_CONNECTIONS.labels(purpose).set(most)
        metrics.DATABASE_IN_USE.labels(purpose).set_function(lambda: self.in_use)
        metrics.DATABASE_WAITING.labels(purpose).set_function(lambda: self.waiting)

    @property
    def all_taken(self) -> bool:
        """Whether one more would have to wait."""
        return self._free.locked()

    async def take(self) -> None:
        """Waits for one, in order of arrival. Raises ResourceExhausted (DATABASE_BUSY)."""
        if self._free.locked():
            await self._wait()
        else:
            await self._free.acquire()
            if self._trouble.present:
                self._trouble.over("database connections are free again")
        self.in_use += 1

    def give_back(self) -> None:
        """One that was taken is free."""
        self.in_use -= 1
        self._free.release()

    async def _wait(self) -> None:
        self.waiting += 1
        try:
            async with asyncio.timeout(self._patience_s):
                await self._free.acquire()
        except TimeoutError:
            metrics.DATABASE_BUSY.labels(self._purpose).inc()
            self._trouble.met("all database connections are in use", purpose=self._purpose)
            raise database_busy() from None
        finally:
            self.waiting -= 1
