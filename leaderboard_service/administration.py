"""What administrators ask for and order."""

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass

from grpc import aio

from leaderboard_service.boards import Boards
from leaderboard_service.breaker import RedisBreaker
from leaderboard_service.domain.answer import Source
from leaderboard_service.rebuild import Rebuilder, Run, SnapshotCut
from leaderboard_service.status import State, Status
from leaderboard_service.store.boards import BoardWriter, Meta
from leaderboard_service.store.client import RedisLink, RedisUnavailable
from leaderboard_service.store.generations import Generations
from shared.errors import Unavailable
from shared.status import error_from_rpc


@dataclass(frozen=True)
class Report:
    """What GetStatus tells; `meta` is None when Redis holds no boards or does not answer."""

    state: State
    meta: Meta | None
    status: Status
    boards: int
    memory_bytes: int
    answers: dict[Source, int]
    start_us: int


@dataclass(frozen=True)
class Parts:
    """What administration looks at and acts on."""

    boards: Boards
    writer: BoardWriter
    link: RedisLink
    generations: Generations
    breaker: RedisBreaker
    rebuilder: Rebuilder
    status: Status


class Administration:
    """Status, rebuilds, clearing."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._start_us = time.time_ns() // 1000

    async def report(self) -> Report:
        """What is known, also while Redis or ProgressService does not answer."""
        parts = self._parts
        meta, boards, memory_bytes = None, 0, 0
        try:
            generation = parts.generations.current if parts.breaker.closed else None
            if generation is not None:
                meta = await parts.writer.meta(generation)
                boards = len(await parts.writer.board_counts(generation))
            if parts.breaker.closed:
                memory_bytes = await parts.link.used_memory()
        except RedisUnavailable as error:
            parts.breaker.trip(error)
        return Report(
            state=parts.status.state(redis_answers=parts.breaker.closed, boards=meta is not None),
            meta=meta,
            status=parts.status,
            boards=boards,
            memory_bytes=memory_bytes,
            answers=dict(parts.boards.answers),
            start_us=self._start_us,
        )

    async def rebuild(self, pause_s: float) -> AsyncIterator[Run]:
        """The rebuild that runs, or a new one, every `pause_s` and when it is done.

        Raises Unavailable (REBUILD_FAILED) when it failed; the old boards stay then.
        """
        run = self._parts.rebuilder.request("an administrator asked for it")
        while not run.done.done():
            yield run
            await asyncio.wait((run.done,), timeout=pause_s)
        try:
            run.done.result()
        except aio.AioRpcError as error:
            raise error_from_rpc(error) from None
        except (RedisUnavailable, SnapshotCut, TimeoutError):
            raise Unavailable("REBUILD_FAILED", "A store did not answer.") from None
        yield run

    async def clear(self) -> int:
        """Deletes every key of this service, and has the boards rebuilt; the number of keys."""
        try:
            deleted = await self._parts.generations.clear()
        except RedisUnavailable as error:
            self._parts.breaker.trip(error)
            raise Unavailable("REDIS_UNAVAILABLE", "Redis does not answer.") from None
        self._parts.rebuilder.request("the keys were cleared")
        return deleted
