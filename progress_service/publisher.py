"""WatchXpDeltas: the history from a position on, then each change as it is numbered.

Guarantees to a watcher: ascending order, no gap, no repetition; a typed error instead of
any of them. What is sent is read from the table for each watcher, one message at a time,
so a slow one costs a cursor and what gRPC buffers for it, and nothing is queued here.
"""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, TypeVar

import asyncpg
import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from progress_service import metrics
from progress_service.servicers.changes_codec import change_message
from progress_service.servicers.codec import position_message
from progress_service.store import history, positions
from progress_service.store.database import Database
from progress_service.store.numbering import CHANNEL
from progress_service.store.positions import Head, Position
from shared.errors import FailedPrecondition, ResourceExhausted, Unavailable
from shared.gen.laurel.progress.v1.progress_pb2 import WatchXpDeltasResponse
from shared.stream_write import STALL_S, write_within

log = structlog.get_logger(__name__)

MAX_CHANGES = 1_000
_RECONNECT_S = 1.0
_LOOK_S = 0.25
"""How long a number that another replica gave may go unseen while LISTEN is interrupted."""

T = TypeVar("T")
Write = Callable[[WatchXpDeltasResponse], Awaitable[None]]


@dataclass
class Publisher:
    """`watch` for each stream; `run` in the background hears of other replicas' batches."""

    database: Database
    checkpoint_s: float
    draining: asyncio.Event
    max_watchers: int = 64
    stall_s: float = STALL_S
    watchers: int = 0
    _numbered: asyncio.Event = field(default_factory=asyncio.Event)

    def wake(self) -> None:
        """The history has grown."""
        self._numbered.set()
        self._numbered = asyncio.Event()

    async def run(self) -> None:
        """LISTENs until cancelled. Only speeds watchers up: they also look by themselves."""
        while True:
            try:
                await self._listen()
            except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, TimeoutError) as error:
                log.warning("LISTEN interrupted", error=type(error).__name__)
            await asyncio.sleep(_RECONNECT_S * random.uniform(0.5, 1.5))

    async def _listen(self) -> None:
        connection = await self.database.connect()
        closed = asyncio.Event()
        try:
            connection.add_termination_listener(lambda _: closed.set())
            await connection.add_listener(CHANNEL, lambda *_: self.wake())
            self.wake()
            await closed.wait()
        finally:
            with suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError, TimeoutError):
                await connection.close(timeout=2)

    async def position_of(self, change_id: int, within_s: float) -> Position:
        """Where a committed change stands, once it is numbered.

        Raises Unavailable (NOT_NUMBERED_YET, or DRAINING when this server shuts down).
        """

        async def find(connection: AsyncConnection) -> Position | None:
            return await positions.find_change(connection, change_id)

        position = await self.once_numbered(find, within_s)
        if position is None:
            raise not_numbered_yet()
        return position

    async def once_numbered(
        self, find: Callable[[AsyncConnection], Awaitable[T | None]], within_s: float
    ) -> T | None:
        """What `find` finds, asked now and whenever the history has grown; None when it finds
        nothing within the time. Raises Unavailable (DRAINING).
        """
        ends_at = time.monotonic() + within_s
        while True:
            numbered = self._numbered
            async with self.database.read() as connection:
                found = await find(connection)
            if found is not None:
                return found
            left_s = ends_at - time.monotonic()
            if self.draining.is_set():
                raise Unavailable("DRAINING", "This server is shutting down; ask again.")
            if left_s <= 0:
                return None
            await self._wait(numbered, min(left_s, _LOOK_S))

    async def watch(self, after: Position, write: Write) -> None:
        """Sends everything after `after`, then what follows, until the caller goes away.

        Raises as `positions.check_position` and `history.read_changes` say; Unavailable
        (READER_STALLED, or DRAINING when this server shuts down); ResourceExhausted
        (TOO_MANY_WATCHERS).
        """
        if self.watchers >= self.max_watchers:
            raise ResourceExhausted(
                "TOO_MANY_WATCHERS", "Too many watchers are connected.", retry_delay_s=5
            )
        self.watchers += 1
        metrics.WATCHERS.set(self.watchers)
        try:
            await self._send(after, write)
        finally:
            self.watchers -= 1
            metrics.WATCHERS.set(self.watchers)

    async def _send(self, after: Position, write: Write) -> None:
        sent = after
        while not self.draining.is_set():
            numbered = self._numbered
            rows, head = await self._read(sent)
            if rows:
                sent = Position(head.position.epoch, rows[-1].sequence)
                metrics.PUBLISHED_CHANGES.inc(len(rows))
            else:
                sent = Position(head.position.epoch, sent.sequence)
            await write_within(write, _message(rows, sent, head), self.stall_s)
            if sent.sequence == head.position.sequence:
                await self._wait(numbered, self.checkpoint_s)
        raise Unavailable("DRAINING", "This server is shutting down; connect again.")

    async def _read(self, after: Position) -> tuple[list[Any], Head]:
        async with self.database.read() as connection:
            await positions.check_position(connection, after)
            head = await positions.read_head(connection)
            rows = await history.read_changes(
                connection, after.sequence, head.position.sequence, MAX_CHANGES
            )
        if rows and rows[-1].sequence - after.sequence != len(rows):
            raise FailedPrecondition(
                "HISTORY_DAMAGED", "The stored history has a gap; it is not sent on."
            )
        return list(rows), head

    async def _wait(self, numbered: asyncio.Event, timeout_s: float) -> None:
        """Until the history grows, the server drains, or the time is over."""
        tasks = [
            asyncio.ensure_future(numbered.wait()),
            asyncio.ensure_future(self.draining.wait()),
        ]
        try:
            await asyncio.wait(tasks, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()


def not_numbered_yet() -> Unavailable:
    """A committed write has had no number within the time given."""
    return Unavailable(
        "NOT_NUMBERED_YET",
        "It is done, and has no place in the history yet; the same request, made again, tells"
        " its place.",
        retry_delay_s=1.0,
    )


def _message(rows: list[Any], through: Position, head: Head) -> WatchXpDeltasResponse:
    message = WatchXpDeltasResponse(
        changes=[change_message(row) for row in rows],
        through=position_message(through),
        head_sequence=head.position.sequence,
    )
    message.send_time.FromDatetime(datetime.now(UTC))
    return message
