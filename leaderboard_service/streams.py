"""Reading server streams."""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import TypeVar, cast

from grpc import aio

from shared.gen.laurel.progress.v1.progress_pb2 import (
    WatchXpDeltasRequest,
    WatchXpDeltasResponse,
)

RequestT = TypeVar("RequestT")
ResponseT = TypeVar("ResponseT")

HistoryCall = aio.UnaryStreamCall[WatchXpDeltasRequest, WatchXpDeltasResponse]


async def next_message(
    call: aio.UnaryStreamCall[RequestT, ResponseT], silence_s: float
) -> ResponseT | None:
    """The next message, None at the end. A stream may live for ever, its silence may not:
    TimeoutError when nothing comes for `silence_s`.
    """
    async with asyncio.timeout(silence_s):
        message = await call.read()
    return None if message is aio.EOF else cast("ResponseT", message)


class ReadAhead:
    """Reads the history as it comes, up to a bound, and hands out all that has come as one
    message: whoever was slow takes larger steps.

    `noted` is told of the head that each message names as soon as that is read.
    """

    _MOST_CHANGES = 5_000

    def __init__(
        self, call: HistoryCall, silence_s: float, noted: Callable[[int], None] = lambda _: None
    ) -> None:
        self._call = call
        self._silence_s = silence_s
        self._noted = noted
        self._come: deque[WatchXpDeltasResponse] = deque()
        self._changes = 0
        self._news = asyncio.Event()
        self._room = asyncio.Event()
        self._reading = asyncio.create_task(self._read())
        self._reading.add_done_callback(lambda _: self._news.set())

    async def next(self) -> WatchXpDeltasResponse | None:
        """What has come, at least one message of one tenure; None at the end.

        Raises TimeoutError when nothing comes for long, and aio.AioRpcError.
        """
        while not self._come:
            if self._reading.done():
                self._reading.result()
                return None
            self._news.clear()
            await self._news.wait()
        message = self._come.popleft()
        while self._come and self._come[0].through.epoch == message.through.epoch:
            later = self._come.popleft()
            message.changes.extend(later.changes)
            message.through.CopyFrom(later.through)
            message.head_sequence = later.head_sequence
            message.send_time.CopyFrom(later.send_time)
        self._changes = sum(len(left.changes) for left in self._come)
        self._room.set()
        return message

    async def _read(self) -> None:
        while (message := await next_message(self._call, self._silence_s)) is not None:
            self._come.append(message)
            self._changes += len(message.changes)
            self._noted(message.head_sequence)
            self._news.set()
            while self._changes >= self._MOST_CHANGES:
                self._room.clear()
                await self._room.wait()

    async def close(self) -> None:
        """Ends the stream."""
        self._call.cancel()
        self._reading.cancel()
        await asyncio.wait((self._reading,))
        if not self._reading.cancelled():
            self._reading.exception()  # seen
