"""Gathers questions of one kind and has them answered together."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
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


class Unreadable(Exception):
    """The read failed in a way that no one expected; it is logged."""


class Overdue(Exception):
    """Redis answers, but it was not this ask's turn in time."""


@dataclass(slots=True)
class _Asked:
    since: float
    futures: list[asyncio.Future[Outcome]]


class Lane(Generic[AskT]):
    """Asks wait here for the next read, for `patience_s` at most; equal ones are asked once.
    `run` reads.

    One read is under way at a time. A read costs as much as many asks, and under load calls
    arrive one by one: so reads are spaced, by up to 2 ms while they find several asks, and
    not at all while they find one, so that a lone caller does not wait.

    `weigh` says how many entries' work an ask is, beside those that are taken with it; the set is
    for it to note what they share.
    """

    def __init__(
        self,
        read: Callable[[Sequence[AskT]], Awaitable[list[Outcome]]],
        weigh: Callable[[AskT, set[str]], int],
        patience_s: float,
    ) -> None:
        self._read = read
        self._weigh = weigh
        self._patience_s = patience_s
        self._waiting: dict[AskT, _Asked] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._wake = asyncio.Event()
        self._pace_s = 0.0

    @property
    def waiting(self) -> int:
        """How many different asks wait."""
        return len(self._waiting)

    async def ask(self, ask: AskT) -> Outcome:
        """The answer, or why there is none here.

        Raises what the read raises, Overdue when it was not read in time, and ResourceExhausted
        when too many wait.
        """
        if len(self._waiting) >= _WAITING:
            raise ResourceExhausted(
                "TOO_MANY_READS", "Too many reads are waiting.", retry_delay_s=0.1
            )
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Outcome] = loop.create_future()
        asked = self._waiting.get(ask)
        if asked is None:
            self._waiting[ask] = _Asked(loop.time(), [future])
            self._wake.set()
            if self._timer is None:
                self._timer = loop.call_later(self._patience_s, self._expire)
        else:
            asked.futures.append(future)
        return await future

    def abandon(self) -> None:
        """Nobody goes on waiting: NotReadable for all."""
        waiting, self._waiting = self._waiting, {}
        self._wake.clear()
        _fail((asked.futures for asked in waiting.values()), NotReadable())

    def _expire(self) -> None:
        """Fails those who have waited too long, and sets the timer for the next."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        self._timer = None
        for ask, asked in list(self._waiting.items()):
            due = asked.since + self._patience_s
            if due > now:
                # Not for each of many: a tenth late is soon enough.
                due = max(due, now + self._patience_s / 10)
                self._timer = loop.call_at(due, self._expire)
                return
            del self._waiting[ask]
            _fail((asked.futures,), Overdue())
        self._wake.clear()

    async def run(self) -> None:
        """Reads for ever."""
        loop = asyncio.get_running_loop()
        while True:
            await self._wake.wait()
            started = loop.time()
            taken = self._take()
            if not taken:
                continue
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
        """The asks that have waited longest, as many as one script should take; none whose
        askers have all gone.
        """
        taken: dict[AskT, list[asyncio.Future[Outcome]]] = {}
        weight = 0
        shared: set[str] = set()
        for ask, asked in list(self._waiting.items()):
            futures = asked.futures
            if futures[0].done() and all(future.done() for future in futures):
                del self._waiting[ask]
                continue
            weight += self._weigh(ask, shared)
            if taken and weight > _WEIGHT:
                break
            taken[ask] = futures
            del self._waiting[ask]
        if not self._waiting:
            self._wake.clear()
        return taken

    async def _answer(self, taken: dict[AskT, list[asyncio.Future[Outcome]]]) -> None:
        try:
            outcomes = await self._read(list(taken))
        except (RedisUnavailable, GenerationGone, NotReadable) as error:
            _fail(taken.values(), error)
            return
        except Exception:
            log.exception("read failed")
            _fail(taken.values(), Unreadable())
            return
        except BaseException:
            _fail(taken.values(), NotReadable())
            raise
        for futures, outcome in zip(taken.values(), outcomes, strict=True):
            for future in futures:
                if not future.done():
                    future.set_result(outcome)


def _fail(asks: Iterable[list[asyncio.Future[Outcome]]], error: Exception) -> None:
    for futures in asks:
        for future in futures:
            if not future.done():
                future.set_exception(error)
