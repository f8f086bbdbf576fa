"""Keeps calls away from a Redis that does not answer, until it does again."""

import asyncio
import random
from collections.abc import Callable

import structlog

from leaderboard_service import metrics
from leaderboard_service.store.client import RedisLink, RedisRefused, RedisUnavailable

log = structlog.get_logger(__name__)

_PING_S = 0.25
_PING_CAP_S = 2.0


class RedisBreaker:
    """Closed while Redis answers. After a failure it is open: nobody waits for a timeout.

    `run` pings an absent Redis with growing pauses and closes the breaker when it answers.
    """

    def __init__(self, link: RedisLink) -> None:
        self._link = link
        self._opened = asyncio.Event()
        self._closed = asyncio.Event()
        self._closed.set()
        self._told: list[Callable[[], None]] = []

    @property
    def closed(self) -> bool:
        """Whether Redis may be asked."""
        return self._closed.is_set()

    def trip(self, error: RedisUnavailable) -> None:
        """Opens it after a call without an answer. A refusal is an answer."""
        if self.closed and not isinstance(error, RedisRefused):
            log.warning("redis does not answer", error=str(error))
            metrics.BREAKER_OPEN.set(1)
            self._closed.clear()
            self._opened.set()
            for tell in self._told:
                tell()

    def when_opened(self, tell: Callable[[], None]) -> None:
        """Has `tell` called each time it opens, so that nobody goes on waiting for Redis."""
        self._told.append(tell)

    async def wait_closed(self) -> None:
        """Returns when Redis may be asked."""
        await self._closed.wait()

    async def run(self) -> None:
        """Watches over an open breaker, for ever."""
        while True:
            await self._opened.wait()
            pause_s = _PING_S
            while not await self._answers():
                await asyncio.sleep(pause_s * random.uniform(0.5, 1.0))
                pause_s = min(pause_s * 2, _PING_CAP_S)
            log.info("redis answers again")
            metrics.BREAKER_OPEN.set(0)
            self._opened.clear()
            self._closed.set()

    async def _answers(self) -> bool:
        try:
            await self._link.ping()
        except RedisUnavailable:
            return False
        return True
