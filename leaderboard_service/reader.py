"""Reads boards for all who ask at once."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any, TypeVar, cast

from leaderboard_service import metrics
from leaderboard_service.breaker import RedisBreaker
from leaderboard_service.domain.answer import ListAnswer, RankAnswer, TopAnswer
from leaderboard_service.domain.question import AroundAsk, Ask, BatchAsk, RankAsk, TopAsk
from leaderboard_service.lane import Lane, NotReadable
from leaderboard_service.store.client import RedisUnavailable
from leaderboard_service.store.generations import Generations
from leaderboard_service.store.keys import Generation
from leaderboard_service.store.reads import BoardReads, Outcome
from shared.rank_mode import RankMode

AskT = TypeVar("AskT", bound=Ask)

CONNECTIONS = 4
"""Reads at once: one of each kind."""

_WALK = 500
"""A walk through the distinct scores of a board takes as long as so many entries, at most."""
_SEARCH = 3
"""The same of the place of a score and user among those of a part that the user is not in."""


class BoardReader:
    """Answers from Redis. `run` does the reading, one read of each kind at a time.

    Each question raises GenerationGone, Broken, NotKept, TooDeep, Uneven, NotReadable or
    RedisUnavailable when Redis cannot answer it, Overdue when it has not been asked within
    `patience_s`, and ResourceExhausted when too many wait. When the breaker opens, nobody goes on
    waiting.
    """

    def __init__(
        self,
        reads: BoardReads,
        generations: Generations,
        breaker: RedisBreaker,
        *,
        patience_s: float,
    ) -> None:
        self._generations = generations
        self._breaker = breaker
        read = self._of_current
        self._ranks = Lane(read(reads.rank), weigh_rank, patience_s)
        self._batches = Lane(read(reads.batch), _weigh_batch, patience_s)
        self._tops = Lane(read(reads.top), _weigh_top, patience_s)
        self._arounds = Lane(read(reads.around), _weigh_around, patience_s)
        lanes: dict[str, Lane[Any]] = {
            "rank": self._ranks,
            "batch": self._batches,
            "top": self._tops,
            "around": self._arounds,
        }
        for kind, lane in lanes.items():
            breaker.when_opened(lane.abandon)
            metrics.READS_WAITING.labels(kind).set_function(partial(_waiting, lane))

    async def rank(self, ask: RankAsk) -> RankAnswer:
        """Where one user stands."""
        return cast("RankAnswer", _answer(await self._ranks.ask(ask)))

    async def top(self, ask: TopAsk) -> TopAnswer:
        """A page, and one user's entry besides."""
        return cast("TopAnswer", _answer(await self._tops.ask(ask)))

    async def around(self, ask: AroundAsk) -> ListAnswer:
        """The entries around one user."""
        return cast("ListAnswer", _answer(await self._arounds.ask(ask)))

    async def batch(self, ask: BatchAsk) -> ListAnswer:
        """The entries of given users, best first."""
        return cast("ListAnswer", _answer(await self._batches.ask(ask)))

    async def run(self) -> None:
        """Reads for all who ask, for ever."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._ranks.run())
            group.create_task(self._tops.run())
            group.create_task(self._arounds.run())
            group.create_task(self._batches.run())

    def _of_current(
        self, read: Callable[[Generation, Sequence[AskT]], Awaitable[list[Outcome]]]
    ) -> Callable[[Sequence[AskT]], Awaitable[list[Outcome]]]:
        """Reads the generation that is current then, and tells the breaker of failures."""

        async def read_current(asks: Sequence[AskT]) -> list[Outcome]:
            generation = self._generations.current
            if generation is None or not self._breaker.closed:
                raise NotReadable
            try:
                return await read(generation, asks)
            except RedisUnavailable as error:
                self._breaker.trip(error)
                raise

        return read_current


def _waiting(lane: Lane[Any]) -> float:
    return lane.waiting


def _answer(outcome: Outcome) -> object:
    if isinstance(outcome, Exception):
        raise outcome
    return outcome


def weigh_rank(ask: RankAsk, walked: set[str]) -> int:
    """How many entries' work it is; `walked` are the boards of those that are taken with it."""
    return _of_mode(ask, 1, walked)


def _weigh_batch(ask: BatchAsk, walked: set[str]) -> int:
    return _of_mode(ask, len(ask.user_ids), walked)


def _weigh_top(ask: TopAsk, walked: set[str]) -> int:
    return _walk(ask, walked) + ask.size * (1 + len(ask.also))


def _weigh_around(ask: AroundAsk, walked: set[str]) -> int:
    return _walk(ask, walked) + ask.count


def _of_mode(ask: Ask, users: int, walked: set[str]) -> int:
    return users * _SEARCH if ask.mode == RankMode.ORDINAL else users + _walk(ask, walked)


def _walk(ask: Ask, walked: set[str]) -> int:
    """What a walk takes that no ask before has brought with it."""
    if ask.mode != RankMode.DENSE or ask.board.name in walked:
        return 0
    walked.add(ask.board.name)
    return _WALK
