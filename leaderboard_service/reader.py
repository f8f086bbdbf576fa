"""Reads boards for all who ask at once: what arrives while a read is under way goes together."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Generic, TypeVar, cast

import structlog

from leaderboard_service import metrics
from leaderboard_service.breaker import RedisBreaker
from leaderboard_service.domain.answer import After, ListAnswer, RankAnswer, TopAnswer
from leaderboard_service.domain.board import Board
from leaderboard_service.store.boards import GenerationGone
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
from shared.errors import ResourceExhausted

log = structlog.get_logger(__name__)

AskT = TypeVar("AskT")
Read = Callable[[Generation, Sequence[AskT]], Awaitable[list[Outcome]]]

# One script's worth, in entries: Redis answers nobody else meanwhile.
_WEIGHT = 1000
_WAITING = 10_000


class NotReadable(Exception):
    """There are no boards to read now, or nobody reads any more."""


class _Lane(Generic[AskT]):
    """Asks of one kind that wait for a read; equal ones are asked once."""

    def __init__(self, read: Read[AskT], weigh: Callable[[AskT], int]) -> None:
        self._read = read
        self._weigh = weigh
        self._waiting: dict[AskT, list[asyncio.Future[Outcome]]] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, ask: AskT) -> asyncio.Future[Outcome]:
        future: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(ask, []).append(future)
        return future

    async def read(self, generation: Generation | None) -> None:
        """Answers the asks that have waited longest, as many as one script should take.

        What is raised goes to the askers; RedisUnavailable is raised here too.
        """
        if generation is None:
            self.fail_all(NotReadable())
            return
        taken = self._take()
        metrics.READ_BATCH.observe(sum(map(len, taken.values())))
        try:
            outcomes = await self._read(generation, list(taken))
        except BaseException as error:
            self._fail(taken, error if isinstance(error, Exception) else NotReadable())
            if isinstance(error, GenerationGone):
                return
            raise
        for futures, outcome in zip(taken.values(), outcomes, strict=True):
            for future in futures:
                if not future.done():
                    future.set_result(outcome)

    def fail_all(self, error: Exception) -> None:
        self._fail(self._waiting, error)
        self._waiting = {}

    def _take(self) -> dict[AskT, list[asyncio.Future[Outcome]]]:
        taken: dict[AskT, list[asyncio.Future[Outcome]]] = {}
        weight = 0
        for ask in list(self._waiting):
            weight += self._weigh(ask)
            if taken and weight > _WEIGHT:
                break
            taken[ask] = self._waiting.pop(ask)
        return taken

    @staticmethod
    def _fail(asks: dict[AskT, list[asyncio.Future[Outcome]]], error: Exception) -> None:
        for futures in asks.values():
            for future in futures:
                if not future.done():
                    future.set_exception(error)


class BoardReader:
    """Answers from Redis. `run` does the reading, over `workers` connections.

    Each question raises GenerationGone, Broken, NotKept, NotReadable or RedisUnavailable
    when Redis cannot answer it, and ResourceExhausted when too many wait.
    """

    def __init__(
        self, reads: BoardReads, generations: Generations, breaker: RedisBreaker, workers: int
    ) -> None:
        self._generations = generations
        self._breaker = breaker
        self._workers = workers
        self._wake = asyncio.Event()
        self._ranks = _Lane(reads.rank, lambda _: 1)
        self._batches = _Lane(reads.batch, lambda ask: len(ask.user_ids))
        self._tops = _Lane(reads.top, lambda ask: ask.size)
        self._arounds = _Lane(reads.around, lambda ask: ask.count)
        # The one that was read last comes last.
        self._lanes: list[_Lane[Any]] = [self._ranks, self._tops, self._arounds, self._batches]

    async def rank(self, board: Board, user_id: str) -> RankAnswer:
        """Where one user stands."""
        return cast("RankAnswer", await self._answer(self._ranks, RankAsk(board, user_id)))

    async def top(self, board: Board, size: int, after: After | None, user_id: str) -> TopAnswer:
        """A page, and the entry of `user_id` unless that is empty."""
        ask = TopAsk(board, size, after, user_id)
        return cast("TopAnswer", await self._answer(self._tops, ask))

    async def around(self, board: Board, user_id: str, count: int) -> ListAnswer:
        """The entries around one user."""
        ask = AroundAsk(board, user_id, count)
        return cast("ListAnswer", await self._answer(self._arounds, ask))

    async def batch(self, board: Board, user_ids: tuple[str, ...]) -> ListAnswer:
        """The entries of these users, best first."""
        return cast("ListAnswer", await self._answer(self._batches, BatchAsk(board, user_ids)))

    async def run(self) -> None:
        """Reads for all who ask, for ever."""
        async with asyncio.TaskGroup() as group:
            for _ in range(self._workers):
                group.create_task(self._work())

    async def _answer(self, lane: _Lane[AskT], ask: AskT) -> object:
        if len(lane) >= _WAITING:
            raise ResourceExhausted(
                "TOO_MANY_READS", "Too many reads are waiting.", retry_delay_s=0.1
            )
        future = lane.add(ask)
        self._wake.set()
        outcome = await future
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    async def _work(self) -> None:
        while True:
            await self._wake.wait()
            lane = next(filter(len, self._lanes), None)
            if lane is None:
                self._wake.clear()
                continue
            self._lanes.remove(lane)
            self._lanes.append(lane)
            try:
                await lane.read(self._generations.current)
            except RedisUnavailable as error:
                self._breaker.trip(error)
                for waiting in self._lanes:
                    waiting.fail_all(error)
            except Exception:
                log.exception("read failed")
