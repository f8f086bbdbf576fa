"""Reads boards for all who ask at once."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar, cast

from leaderboard_service.breaker import RedisBreaker
from leaderboard_service.domain.answer import After, ListAnswer, RankAnswer, TopAnswer
from leaderboard_service.domain.board import Board
from leaderboard_service.lane import Lane, NotReadable
from leaderboard_service.store.client import RedisUnavailable
from leaderboard_service.store.generations import Generations
from leaderboard_service.store.keys import Generation
from leaderboard_service.store.reads import (
    AroundAsk,
    BatchAsk,
    BoardReads,
    Outcome,
    RankAsk,
    TopAsk,
)

AskT = TypeVar("AskT")

CONNECTIONS = 4
"""Reads at once: one of each kind."""


class BoardReader:
    """Answers from Redis. `run` does the reading, one read of each kind at a time.

    Each question raises GenerationGone, Broken, NotKept, NotReadable or RedisUnavailable
    when Redis cannot answer it, Overdue when it has not been asked within `patience_s`, and
    ResourceExhausted when too many wait. When the breaker opens, nobody goes on waiting.
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
        self._ranks = Lane(read(reads.rank), lambda _: 1, patience_s)
        self._batches = Lane(read(reads.batch), lambda ask: len(ask.user_ids), patience_s)
        self._tops = Lane(read(reads.top), lambda ask: ask.size, patience_s)
        self._arounds = Lane(read(reads.around), lambda ask: ask.count, patience_s)
        for lane in (self._ranks, self._batches, self._tops, self._arounds):
            breaker.when_opened(lane.abandon)

    async def rank(self, board: Board, user_id: str) -> RankAnswer:
        """Where one user stands."""
        return cast("RankAnswer", _answer(await self._ranks.ask(RankAsk(board, user_id))))

    async def top(self, board: Board, size: int, after: After | None, user_id: str) -> TopAnswer:
        """A page, and the entry of `user_id` unless that is empty."""
        ask = TopAsk(board, size, after, user_id)
        return cast("TopAnswer", _answer(await self._tops.ask(ask)))

    async def around(self, board: Board, user_id: str, count: int) -> ListAnswer:
        """The entries around one user."""
        ask = AroundAsk(board, user_id, count)
        return cast("ListAnswer", _answer(await self._arounds.ask(ask)))

    async def batch(self, board: Board, user_ids: tuple[str, ...]) -> ListAnswer:
        """The entries of these users, best first."""
        return cast("ListAnswer", _answer(await self._batches.ask(BatchAsk(board, user_ids))))

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


def _answer(outcome: Outcome) -> object:
    if isinstance(outcome, Exception):
        raise outcome
    return outcome
