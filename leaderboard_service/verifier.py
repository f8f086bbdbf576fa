"""Verifies all boards bit by bit, all the time, and mends them: a group at a time, at a pace."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TypeVar

import structlog
from grpc import aio

from leaderboard_service import metrics
from leaderboard_service.breaker import RedisBreaker
from leaderboard_service.comparison import Compared
from leaderboard_service.domain.groups import Group
from leaderboard_service.history import HistoryLost
from leaderboard_service.rebuild import SnapshotCut
from leaderboard_service.store.boards import Broken, GenerationGone
from leaderboard_service.store.client import RedisUnavailable
from leaderboard_service.store.generations import Generations
from leaderboard_service.store.keys import Generation
from leaderboard_service.verification import Tally, Verification
from shared.errors import FailedPrecondition, LaurelError
from shared.trouble import Trouble

T = TypeVar("T")

log = structlog.get_logger(__name__)

_FIRST_PAUSE_S = 30.0
_LEAST_ROUND_S = 60.0
_FIRST_FAILURE_PAUSE_S = 1.0
_MAX_FAILURE_PAUSE_S = 60.0
_TRIES = 4
"""What fails so often is passed over until the next round."""


class Verifier:
    """`run` in the background, in each replica: about `standings_per_s`, 0 for not at all. A round
    takes a minute at least.
    """

    def __init__(
        self,
        verification: Verification,
        generations: Generations,
        breaker: RedisBreaker,
        *,
        standings_per_s: float,
    ) -> None:
        self._verification = verification
        self._generations = generations
        self._breaker = breaker
        self._standings_per_s = standings_per_s
        self._trouble = Trouble(log)

    async def run(self) -> None:
        """Verifies round after round, until cancelled."""
        if not self._standings_per_s:
            return
        await asyncio.sleep(_FIRST_PAUSE_S * random.uniform(0.5, 1.0))
        while True:
            began = time.monotonic()
            await self._round()
            await asyncio.sleep(began + _LEAST_ROUND_S - time.monotonic())

    async def _round(self) -> None:
        groups = await self._try(self._verification.groups)
        if groups is None:
            return
        tally, complete = Tally(), True
        for group in groups:
            began = time.monotonic()
            if not await self._try(partial(self._verify, group, tally)):
                complete = False
            pace_s = group.standings / self._standings_per_s
            await asyncio.sleep(began + pace_s - time.monotonic())
        if complete:
            self._trouble.over("boards are verified again")
            self._verification.complete(tally)

    async def _verify(self, group: Group, tally: Tally, generation: Generation) -> bool:
        await self._verification.compare(generation, group, tally, _tell_nobody, repair=True)
        return True

    async def _try(self, act: Callable[[Generation], Awaitable[T]]) -> T | None:
        """What it comes to on the boards that are read, tried a few times; None when it fails."""
        for failures in range(_TRIES):
            await self._breaker.wait_closed()
            generation = self._generations.current
            if generation is not None:
                try:
                    return await act(generation)
                except Exception as error:  # noqa: BLE001 - logged, and tried again
                    metrics.BOARD_VERIFIER_FAILURES.inc()
                    await self._failed(generation, error)
            await asyncio.sleep(_pause_s(failures))
        return None

    async def _failed(self, generation: Generation, error: Exception) -> None:
        match error:
            case RedisUnavailable():
                self._breaker.trip(error)
            case GenerationGone():
                await self._recover(generation)
            case Broken() | FailedPrecondition():
                log.error("boards cannot be mended; they are rebuilt", what=str(error))
                await self._recover(generation)
            case aio.AioRpcError():
                self._trouble.met("boards wait to be verified", code=error.code().name)
            case LaurelError():
                self._trouble.met("boards wait to be verified", reason=error.reason)
            case TimeoutError() | SnapshotCut() | HistoryLost():
                self._trouble.met("boards wait to be verified", reason=type(error).__name__)
            case _:
                self._trouble.failed("verifier failed", error)

    async def _recover(self, generation: Generation) -> None:
        try:
            await self._generations.recover(generation)
        except RedisUnavailable as error:
            self._breaker.trip(error)


async def _tell_nobody(_: Compared) -> None:
    """What was found is counted and logged."""


def _pause_s(failures: int) -> float:
    longest = min(_FIRST_FAILURE_PAUSE_S * 2.0**failures, _MAX_FAILURE_PAUSE_S)
    return longest * random.uniform(0.5, 1.0)
