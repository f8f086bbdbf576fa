"""Gathers questions of one kind and has them answered together."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

import structlog

from leaderboard_service import metrics
from leaderboard_service.store.boards import GenerationGone
from leaderboard_service.store.client import RedisUnavailable
from leaderboard_service.store.reads import Outcome
from shared.errors import ResourceExhausted

log = structlog.get_logger(__name__)

AskT = TypeVar("AskT")

# One script's worth, in entries: Redis answers nobody else meanwhile.
_WEIGHT = 1000
_WAITING = 10_000
_MIN_PACE_S = 0.00025
_MAX_PACE_S = 0.002


class NotReadable(Exception):
    """There are no boards to read now, or nobody reads any more."""


class Lane(Generic[AskT]):
    """Asks wait here for the next read; equal ones are asked once. `run` reads.

    One read is under way at a time. A read costs as much as many asks, and under load calls
    arrive one by one: so reads are spaced, by up to 2 ms while they find several asks, and
    not at all while they find one, so that a lone caller does not wait.
    """

    def __init__(
        self,
        read: Callable[[Sequence[AskT]], Awaitable[list[Outcome]]],
        weigh: Callable[[AskT], int],
    ) -> None:
        self._read = read
        self._weigh = weigh
        self._waiting: dict[AskT, list[asyncio.Future[Outcome]]] = {}
        self._wake = asyncio.Event()
        self._pace_s = 0.0

    async def ask(self, ask: AskT) -> Outcome:
        """The answer, or why there is none here.

        Raises what the read raises, and ResourceExhausted when too many wait.
        """
        if len(self._waiting) >= _WAITING:
            raise ResourceExhausted(
                "TOO_MANY_READS", "Too many reads are waiting.", retry_delay_s=0.1
            )
        future: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        askers = self._waiting.get(ask)
        if askers is None:
            self._waiting[ask] = [future]
            self._wake.set()
        else:
            askers.append(future)
        return await future

    async def run(self) -> None:
        """Reads for ever."""
        loop = asyncio.get_running_loop()
        while True:
            await self._wake.wait()
            started = loop.time()
            taken = self._take()
            await self._answer(taken)
            self._adapt(sum(map(len, taken.values())))
            if self._pace_s:
                await asyncio.sleep(max(started + self._pace_s - loop.time(), 0))

    def _adapt(self, askers: int) -> None:
        metrics.READ_BATCH.observe(askers)
        if askers > 1:
            self._pace_s = min(max(2 * self._pace_s, _MIN_PACE_S), _MAX_PACE_S)
        elif self._pace_s:
            self._pace_s = self._pace_s * 0.8 if self._pace_s > _MIN_PACE_S else 0.0

    def _take(self) -> dict[AskT, list[asyncio.Future[Outcome]]]:
        """The asks that have waited longest, as many as one script should take."""
        taken: dict[AskT, list[asyncio.Future[Outcome]]] = {}
        weight = 0
        for ask in list(self._waiting):
            weight += self._weigh(ask)
            if taken and weight > _WEIGHT:
                break
            taken[ask] = self._waiting.pop(ask)
        if not self._waiting:
            self._wake.clear()
        return taken

    async def _answer(self, taken: dict[AskT, list[asyncio.Future[Outcome]]]) -> None:
        try:
            outcomes = await self._read(list(taken))
        except (RedisUnavailable, GenerationGone, NotReadable) as error:
            self._fail(taken, error)
            return
        except Exception as error:
            log.exception("read failed")
            self._fail(taken, error)
            return
        except BaseException:
            self._fail(taken, NotReadable())
            raise
        for futures, outcome in zip(taken.values(), outcomes, strict=True):
            for future in futures:
                if not future.done():
                    future.set_result(outcome)

    @staticmethod
    def _fail(asks: dict[AskT, list[asyncio.Future[Outcome]]], error: Exception) -> None:
        for futures in asks.values():
            for future in futures:
                if not future.done():
                    future.set_exception(error)
