"""Who watches what, and what they have been sent."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import NoReturn

from leaderboard_service.domain.answer import Entry
from leaderboard_service.domain.board import Board
from leaderboard_service.watching.messages import (
    Rank,
    Subject,
    keep_alive,
    previous_rank,
    state_message,
)
from leaderboard_service.watching.reading import Reading
from shared.errors import LaurelError
from shared.gen.laurel.leaderboard.v1 import leaderboard_pb2 as pb
from shared.stream_write import write_within

Write = Callable[[bytes], Awaitable[None]]


class Topic:
    """A subject with its watches, and the newest that is to be said about it.

    Nothing older is kept: a watch that is slow takes the newest when it comes to it. The bytes
    are the same for all.
    """

    def __init__(self, subject: Subject) -> None:
        self.subject = subject
        self.watches: dict[Watch, None] = {}
        self.version = 0
        """How often what is seen has changed."""
        self.state = b""
        """The newest state, as a message."""
        self.rank = 0
        """The user's rank in it; 0 for one who is not on the board, and for a top."""
        self.board: Board | None = None
        """The board that it is about: another one in the next period."""
        self.beats = 0
        """How often there was a keep-alive."""
        self.keep_alive = b""
        self.said_at = 0.0
        """When all watches were told something last."""
        self._seen: tuple[Board, tuple[Entry, ...]] | None = None
        self._new: list[Watch] = []

    def add(self, watch: "Watch") -> None:
        """Watches from now on; told by the next reading."""
        self.watches[watch] = None
        self._new.append(watch)

    def take(
        self, reading: Reading, state: pb.BoardState, at: float, rest_s: float
    ) -> list["Watch"]:
        """Whom the reading is to be told: all when it shows something else than before or when
        they have been told nothing for `rest_s`, otherwise those who are new.
        """
        told, self._new = self._new, []
        seen = (reading.board, reading.entries)
        changed = seen != self._seen
        if changed:
            self._seen = seen
            self.version += 1
        if changed or told:
            self.state = state_message(self.subject, reading.entries, state)
            of_user = isinstance(self.subject, Rank) and reading.entries
            self.rank = reading.entries[0].rank if of_user else 0
            self.board = reading.board
        if not changed and at - self.said_at >= rest_s:
            self.beats += 1
            self.keep_alive = keep_alive(self.subject, state)
        elif not changed:
            return told
        self.said_at = at
        return list(self.watches)


class Watch:
    """One stream that follows a topic."""

    def __init__(self, topic: Topic, joined_at: float) -> None:
        self.topic = topic
        self._joined_at = joined_at
        self._version = 0
        self._beats = topic.beats
        self._rank = 0
        """The rank in the last state that was sent."""
        self._board: Board | None = None
        """The board that this was about."""
        self._woken = asyncio.Event()
        self._ended: LaurelError | None = None

    @property
    def told_at(self) -> float:
        """When it was last told something, or began."""
        return max(self.topic.said_at, self._joined_at)

    def wake(self) -> None:
        """There is something to send."""
        self._woken.set()

    def end(self, error: LaurelError) -> None:
        """Ends the stream with the error, when nothing is being written; the first one counts."""
        if self._ended is None:
            self._ended = error
            self._woken.set()

    async def run(self, write: Write, stall_s: float) -> NoReturn:
        """Sends until it is ended, always the newest, one message at a time.

        Raises what it is ended with, and Unavailable (READER_STALLED) when the reader does not
        take a message for `stall_s`.
        """
        while True:
            await self._woken.wait()
            self._woken.clear()
            if self._ended is not None:
                raise self._ended.with_traceback(None)  # Many raise the same one.
            message = self._next()
            if message:
                await write_within(write, message, stall_s)

    def _next(self) -> bytes:
        """The newest that was not sent yet; nothing if all was."""
        topic = self.topic
        if self._version != topic.version:
            self._version, self._beats = topic.version, topic.beats
            before = self._rank if self._board == topic.board else 0
            self._rank, self._board = topic.rank, topic.board
            return topic.state + previous_rank(before) if before else topic.state
        if self._beats != topic.beats:
            self._beats = topic.beats
            return topic.keep_alive
        return b""
