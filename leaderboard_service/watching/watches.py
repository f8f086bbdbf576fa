"""All watches of the process."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from leaderboard_service import metrics
from leaderboard_service.domain.fold import Correction, Erasure, Fold, Reset, Step
from leaderboard_service.watching.asked import Asked, current_key
from leaderboard_service.watching.board import Means, WatchedBoard
from leaderboard_service.watching.messages import Rank, Subject, Top
from shared.errors import ResourceExhausted, Unavailable

_RETRY_S = 5.0


class Stream(Protocol):
    """The caller of a streaming method."""

    def write(self, message: bytes) -> Awaitable[None]:
        """Sends one message."""

    def add_done_callback(self, callback: Callable[[Any], None]) -> None:
        """Has the callback called when the call is over."""


class Watches:
    """`top` and `rank` follow a board for one stream, `touch` says what changed, `run` reads.

    Each board that is watched, as asked for, has one loop that reads it and tells all its watches.
    """

    def __init__(self, means: Means, draining: asyncio.Event, *, limit: int) -> None:
        self._means = means
        self._draining = draining
        self._limit = limit
        self.open = 0
        """Calls that are not over."""
        self._boards: dict[str, WatchedBoard] = {}
        self._added: asyncio.Queue[WatchedBoard] = asyncio.Queue()

    async def top(self, asked: Asked, count: int, stream: Stream) -> None:
        """Sends WatchTopResponses until the caller goes away.

        Raises ResourceExhausted (TOO_MANY_WATCHERS) and Unavailable: DRAINING when this server
        shuts down, READER_STALLED, and BOARDS_UNAVAILABLE when neither store answers for long.
        """
        await self._watch(asked, Top(count), stream)

    async def rank(self, asked: Asked, user_id: str, stream: Stream) -> None:
        """Sends WatchRankResponses until the caller goes away. Raises as `top`."""
        await self._watch(asked, Rank(user_id), stream)

    def touch(self, step: Step | None) -> None:
        """The boards in Redis have taken this step; None: anything may have changed."""
        match step:
            case Fold() if not step.profiles:
                for name in step.boards:
                    self._touch_board(name)
            case Reset(board) | Correction(board):
                self._touch_board(board)
            case None | Fold() | Erasure():
                # Which boards show a user is not known here.
                for watched in self._boards.values():
                    watched.touch()

    async def run(self) -> None:
        """Keeps the watched boards going, for ever."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._end_when_draining())
            while True:
                board = await self._added.get()
                group.create_task(board.run())

    def _touch_board(self, name: str) -> None:
        for key in (name, current_key(name)):
            watched = self._boards.get(key)
            if watched is not None:
                watched.touch()

    async def _watch(self, asked: Asked, subject: Subject, stream: Stream) -> None:
        self._admit(stream)
        board = self._boards.get(asked.key)
        if board is None:
            board = self._boards[asked.key] = WatchedBoard(asked, self._means)
            self._added.put_nowait(board)
        watch = board.join(subject)
        try:
            await watch.run(stream.write, self._means.rhythm.stall_s)
        finally:
            board.leave(watch)
            if not board.watched:
                del self._boards[asked.key]

    def _admit(self, stream: Stream) -> None:
        """Takes a place, until the call is over: that of a reader who has stalled may not be for
        long after it was ended, and costs memory all the while.
        """
        if self._draining.is_set():
            raise _draining()
        if self.open >= self._limit:
            raise ResourceExhausted(
                "TOO_MANY_WATCHERS", "Too many watches are open.", retry_delay_s=_RETRY_S
            )
        self.open += 1
        metrics.WATCHES.set(self.open)
        stream.add_done_callback(self._release)

    def _release(self, _call: object) -> None:
        self.open -= 1
        metrics.WATCHES.set(self.open)

    async def _end_when_draining(self) -> None:
        await self._draining.wait()
        for board in self._boards.values():
            board.end(_draining())


def _draining() -> Unavailable:
    return Unavailable("DRAINING", "This server is shutting down; call again.")
