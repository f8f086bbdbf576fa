"""What administrators ask for and order."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from grpc import aio

from leaderboard_service.applier import Gap
from leaderboard_service.boards import Boards
from leaderboard_service.breaker import RedisBreaker
from leaderboard_service.comparison import Compared
from leaderboard_service.domain.answer import Source
from leaderboard_service.domain.board import Board
from leaderboard_service.domain.expected import Difference
from leaderboard_service.history import HistoryLost, HistoryPruned
from leaderboard_service.rebuild import Rebuilder, Run, SnapshotCut
from leaderboard_service.status import State, Status
from leaderboard_service.store.boards import (
    BoardWriter,
    Broken,
    FloorsRaised,
    GenerationGone,
    Meta,
    Moved,
)
from leaderboard_service.store.client import RedisLink, RedisUnavailable
from leaderboard_service.store.generations import Generations, LockLost
from leaderboard_service.store.keys import Generation
from leaderboard_service.verification import Tally, Verification, standings_of
from shared.errors import ResourceExhausted, Unavailable
from shared.status import error_from_peer

_REBUILD_FAILURES = (
    *(RedisUnavailable, Broken, GenerationGone, Moved, FloorsRaised),
    *(SnapshotCut, HistoryLost, Gap, LockLost, TimeoutError),
)
MAX_VERIFICATIONS = 2
_PROGRESS_S = 0.2


@dataclass(frozen=True)
class Verified:
    """How far a verification is; `differences` are new."""

    tally: Tally
    differences: tuple[Difference, ...] = ()
    complete: bool = False


WriteVerified = Callable[[Verified], Awaitable[None]]


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
    verification: Verification
    status: Status
    draining: asyncio.Event


class Administration:
    """Status, rebuilds, verifications, clearing."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._start_us = time.time_ns() // 1000
        self._verifying = 0

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
        """The rebuild that runs, or a new one, every `pause_s` and when it is done; it goes on
        when nobody asks any more.

        Raises Unavailable: REBUILD_FAILED, the old boards stay then, or DRAINING.
        """
        run = self._parts.rebuilder.request("an administrator asked for it")
        while not run.done.done():
            self._check_serving()
            yield run
            await asyncio.wait((run.done,), timeout=pause_s)
        try:
            run.done.result()
        except aio.AioRpcError as error:
            raise error_from_peer(error) from None
        except _REBUILD_FAILURES:
            raise Unavailable("REBUILD_FAILED", "A store did not answer.") from None
        yield run

    async def verify(self, boards: Sequence[Board], write: WriteVerified, *, repair: bool) -> None:
        """Compares these boards, or without any all that Redis keeps, and mends them with `repair`;
        `write` is waited for.

        Raises InvalidInput for a board that Redis does not keep; ResourceExhausted
        (TOO_MANY_VERIFICATIONS); FailedPrecondition (TOO_MANY_MISMATCHES) when so much is wrong
        that the boards are to be rebuilt; Unavailable: BOARDS_REBUILDING also after what could not
        be mended was found, and told.
        """
        if self._verifying >= MAX_VERIFICATIONS:
            raise ResourceExhausted(
                "TOO_MANY_VERIFICATIONS", "Too many verifications are under way.", retry_delay_s=5
            )
        self._verifying += 1
        try:
            async with self._verifiable() as generation:
                await self._verify(generation, boards, write, repair=repair)
        finally:
            self._verifying -= 1

    async def _verify(
        self,
        generation: Generation,
        boards: Sequence[Board],
        write: WriteVerified,
        *,
        repair: bool,
    ) -> None:
        verification = self._parts.verification
        groups = await verification.groups(generation, boards)
        tally = Tally(standings=standings_of(groups))
        told_at = 0.0

        async def tell(compared: Compared) -> None:
            nonlocal told_at
            self._check_serving()
            if compared.differences or time.monotonic() > told_at + _PROGRESS_S:
                await write(Verified(tally, compared.differences))
                told_at = time.monotonic()

        for group in groups:
            await verification.compare(generation, group, tally, tell, repair=repair)
        verification.complete(tally)
        await write(Verified(tally, complete=True))

    @asynccontextmanager
    async def _verifiable(self) -> AsyncIterator[Generation]:
        """The boards that are read; raises Unavailable when they are not there, are lost
        meanwhile, or cannot be compared.
        """
        parts = self._parts
        if not parts.breaker.closed:
            raise _redis_unavailable()
        generation = parts.generations.current
        if generation is None:
            raise _rebuilding()
        try:
            yield generation
        except RedisUnavailable as error:
            parts.breaker.trip(error)
            raise _redis_unavailable() from None
        except (Broken, GenerationGone):
            await self._recover(generation)
            raise _rebuilding() from None
        except HistoryPruned:
            raise Unavailable(
                "HISTORY_TRUNCATED",
                "The verification took longer than history is kept; verify again.",
                retry_delay_s=1,
            ) from None
        except HistoryLost:
            # The follower is refused as well.
            raise _rebuilding() from None
        except (aio.AioRpcError, SnapshotCut, TimeoutError):
            raise Unavailable(
                "PROGRESS_UNAVAILABLE", "ProgressService does not tell what boards must hold."
            ) from None

    def _check_serving(self) -> None:
        if self._parts.draining.is_set():
            raise Unavailable("DRAINING", "This server is shutting down; call again.")

    async def _recover(self, generation: Generation) -> None:
        try:
            await self._parts.generations.recover(generation)
        except RedisUnavailable as error:
            self._parts.breaker.trip(error)

    async def clear(self) -> int:
        """Deletes every key of this service, and has the boards rebuilt; the number of keys."""
        try:
            deleted = await self._parts.generations.clear()
        except RedisUnavailable as error:
            self._parts.breaker.trip(error)
            raise _redis_unavailable() from None
        self._parts.rebuilder.request("the keys were cleared")
        return deleted


def _redis_unavailable() -> Unavailable:
    return Unavailable("REDIS_UNAVAILABLE", "Redis does not answer.")


def _rebuilding() -> Unavailable:
    return Unavailable(
        "BOARDS_REBUILDING", "The boards are being rebuilt; verify again.", retry_delay_s=1
    )
