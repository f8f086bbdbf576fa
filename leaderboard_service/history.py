"""The history from a position on, read as far as it is wanted."""

import asyncio
import random
import time
from collections import deque
from collections.abc import Collection, Iterable
from typing import cast

from grpc import aio

from leaderboard_service.domain.answer import Position
from leaderboard_service.streams import HistoryCall
from shared.errors import DeadlineExceeded, ResourceExhausted, Unavailable
from shared.gen.laurel.progress.v1.progress_pb2 import (
    Change,
    WatchXpDeltasRequest,
    WatchXpDeltasResponse,
)
from shared.gen.laurel.progress.v1.progress_pb2_grpc import ProgressServiceStub
from shared.gen.laurel.types.v1 import types_pb2
from shared.status import error_from_peer

_AGAIN_S = 0.1
_PATIENCE_S = 30.0
"""How long ProgressService may not answer."""
_MESSAGE = 1_000
"""As many changes are in a message at most, by the contract."""
MAX_HELD = 5_000
"""Changes that are read and not taken."""


class HistoryLost(Exception):
    """The history does not go on where it was left: PostgreSQL is another than it was."""


class HistoryPruned(HistoryLost):
    """It went on, and what comes next was pruned before it was read."""


def check_lost(error: aio.AioRpcError) -> None:
    """Raises HistoryLost if the error says that the history does not go on, HistoryPruned if it
    says why.
    """
    reason = error_from_peer(error).reason
    if reason == "HISTORY_TRUNCATED":
        raise HistoryPruned(reason) from None
    if reason == "EPOCH_MISMATCH":
        raise HistoryLost(reason) from None


class History:
    """The changes after a position, handed out in order. A stream that ends is opened again.

    It holds what was read and not taken, up to MAX_HELD, and reads no more until some is taken. The
    server ends a stream from which nothing is read for long; so that is opened again too, from
    where it was read to. It must be closed.
    """

    def __init__(self, stub: ProgressServiceStub, after: Position) -> None:
        self._stub = stub
        self._through = after
        """How far it is read, in the tenure that numbered last when that was sent."""
        self._changes: deque[Change] = deque()
        self._silent_since = 0.0
        """When ProgressService first did not answer; 0: it did."""
        self._call: HistoryCall | None = None
        self._reading: asyncio.Future[WatchXpDeltasResponse | None] | None = None

    async def reach(self, position: Position, within_s: float) -> bool:
        """Reads on until the position is reached, in the tenure that it is of; False when that
        takes longer, or more than it may hold: what is held up to the position is to be taken then.

        Raises HistoryLost, and aio.AioRpcError when ProgressService has not answered for long.
        """
        give_up = time.monotonic() + within_s
        while not self._holds(position):
            left_s = give_up - time.monotonic()
            if left_s <= 0 or len(self._changes) + _MESSAGE > MAX_HELD:
                return False
            message = await self._read_on(left_s)
            if message is not None:
                self._changes.extend(message.changes)
        return True

    async def erased(self, users: Collection[str]) -> set[str]:
        """Those of the users who are erased by changes that are numbered by now and not taken.
        What is read for it beyond what is held is not kept.

        Raises as `reach`, and TimeoutError.
        """
        found = _erased(self._changes, users)
        # The first message of a new stream says how far the history is.
        ahead = History(self._stub, self._through)
        head: int | None = None
        give_up = time.monotonic() + _PATIENCE_S
        try:
            while head is None or ahead._through.sequence < head:
                left_s = give_up - time.monotonic()
                if left_s <= 0:
                    raise TimeoutError
                message = await ahead._read_on(left_s)
                if message is not None:
                    head = message.head_sequence if head is None else head
                    found |= _erased(message.changes, users)
        finally:
            await ahead.close()
        return found

    def take(self, sequence: int, most: int) -> list[Change]:
        """The next changes, at most so many and none beyond `sequence`."""
        taken: list[Change] = []
        while self._changes and len(taken) < most and self._changes[0].sequence <= sequence:
            taken.append(self._changes.popleft())
        return taken

    async def close(self) -> None:
        """Ends the stream; reading on opens another."""
        reading, call = self._reading, self._call
        self._reading = self._call = None
        if call is not None:
            call.cancel()
        if reading is not None:
            reading.cancel()
            await asyncio.wait((reading,))
            if not reading.cancelled():
                reading.exception()  # seen

    def _holds(self, position: Position) -> bool:
        through = self._through
        return through.sequence >= position.sequence and through.epoch == position.epoch

    async def _read_on(self, within_s: float) -> WatchXpDeltasResponse | None:
        """The next message, if one comes in time. A read that is under way is not cancelled for
        that: it would end the stream.
        """
        if self._reading is None:
            self._reading = asyncio.ensure_future(self._read())
        await asyncio.wait((self._reading,), timeout=within_s)
        if not self._reading.done():
            return None
        reading, self._reading = self._reading, None
        try:
            message = reading.result()
        except aio.AioRpcError as error:
            self._check_passing(error)
            message = None
        if message is None:
            self._call = None
            await asyncio.sleep(_AGAIN_S * random.uniform(0.5, 1.0))
            return None
        self._silent_since = 0.0
        if message.changes and message.changes[0].sequence != self._through.sequence + 1:
            raise HistoryLost(f"{message.changes[0].sequence} after {self._through.sequence}")
        self._through = Position(message.through.epoch, message.through.sequence)
        return message

    async def _read(self) -> WatchXpDeltasResponse | None:
        if self._call is None:
            through = self._through
            after = types_pb2.Position(epoch=through.epoch, sequence=through.sequence)
            self._call = self._stub.WatchXpDeltas(WatchXpDeltasRequest(after=after))
        message = await self._call.read()
        return None if message is aio.EOF else cast("WatchXpDeltasResponse", message)

    def _check_passing(self, error: aio.AioRpcError) -> None:
        """Raises HistoryLost unless it is of a kind that passes, and the error when it does not."""
        check_lost(error)
        refusal = error_from_peer(error)
        if not isinstance(refusal, Unavailable | ResourceExhausted | DeadlineExceeded):
            raise HistoryLost(refusal.reason) from None
        now = time.monotonic()
        self._silent_since = self._silent_since or now
        if now > self._silent_since + _PATIENCE_S:
            raise error


def _erased(changes: Iterable[Change], users: Collection[str]) -> set[str]:
    """Those of the users who are erased by the changes."""
    return {
        change.user_erasure.user_id
        for change in changes
        if change.WhichOneof("kind") == "user_erasure" and change.user_erasure.user_id in users
    }
