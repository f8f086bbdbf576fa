"""ImportProgress from the caller's side: a bounded number of batches under way, one answer each."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from contextlib import suppress
from typing import Any, NoReturn, TypeAlias, TypeVar

from grpc import StatusCode, aio

from shared.cli.calls import CommandError
from shared.gen.laurel.progress.v1.admin_pb2 import (
    ImportProgressRequest,
    ImportProgressResponse,
)
from shared.gen.laurel.progress.v1.admin_pb2_grpc import ProgressAdminServiceStub

T = TypeVar("T")
Call: TypeAlias = aio.StreamStreamCall[ImportProgressRequest, ImportProgressResponse]

MAX_UNANSWERED = 16
ANSWER_TIMEOUT_S = 60.0
TOTAL_TIMEOUT_S = 6 * 3600.0
STATUS_TIMEOUT_S = 1.0
STATUS_POLL_S = 0.01

CUT_SHORT = "ProgressService ended the import before it was complete"
AGAIN = (
    "What was recorded stays, and running the same command again is safe: it replays what is "
    "there and records the rest"
)


class ImportStream:
    """One import under way. Nothing else may read from or write to its call."""

    def __init__(
        self, channel: aio.Channel, take: Callable[[ImportProgressResponse], None]
    ) -> None:
        self._call = ProgressAdminServiceStub(channel).ImportProgress(timeout=TOTAL_TIMEOUT_S)
        self._answers = aiter(self._call)
        self._ending = _Ending(self._call)
        self._take = take
        self._unanswered = 0

    async def run(self, requests: Iterable[ImportProgressRequest]) -> None:
        """Send every request, and have every one answered.

        Up to MAX_UNANSWERED requests are under way, so that the server has the next one while it
        works, and memory stays flat. `take` is called with each answer. Raises what iterating
        `requests` raises, AioRpcError when the call fails, and CommandError when the server is
        silent for ANSWER_TIMEOUT_S or ends the stream with requests unanswered.
        """
        try:
            for request in requests:
                if self._unanswered == MAX_UNANSWERED:
                    await self._take_answer()
                await self._in_time(self._call.write(request))
                self._unanswered += 1
            await self._in_time(self._call.done_writing())
            while self._unanswered:
                await self._take_answer()
        except (aio.AioRpcError, aio.InternalError, asyncio.InvalidStateError):
            await self._raise_status()
        finally:
            self._call.cancel()

    async def _raise_status(self) -> NoReturn:
        """Raise why the call ended, once the answers that came before are taken."""
        with suppress(aio.AioRpcError, CommandError):
            while True:
                await self._take_answer()
        raise await self._ending.cause()

    async def _take_answer(self) -> None:
        try:
            answer = await self._in_time(anext(self._answers))
        except StopAsyncIteration:
            raise CommandError(CUT_SHORT) from None
        self._unanswered -= 1
        self._take(answer)

    async def _in_time(self, step: Awaitable[T]) -> T:
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT_S):
                return await step
        except TimeoutError:
            message = f"ProgressService answered nothing for {ANSWER_TIMEOUT_S:.0f} s"
            raise CommandError(message, status="DEADLINE_EXCEEDED") from None


class _Ending:
    """The status that a call ended with, as the server or the broken connection gave it.

    When a write fails because the call is over, grpcio (1.85) marks the call INTERNAL, over the
    status that has come in or will after the last answer. So the first one is kept here, and if
    that is the mark, the status is waited for.
    """

    def __init__(self, call: Call) -> None:
        self._call = call
        self._first: aio.AioRpcError | None = None
        call.add_done_callback(self._keep)

    def _keep(self, call: Call) -> None:
        self._first = _status_of(call)

    async def cause(self) -> aio.AioRpcError | CommandError:
        """Why the call is over. It must be."""
        status = self._first or _status_of(self._call)
        until = time.monotonic() + STATUS_TIMEOUT_S
        while status.code() is StatusCode.INTERNAL and time.monotonic() < until:
            await asyncio.sleep(STATUS_POLL_S)
            status = _status_of(self._call)
        return CommandError(CUT_SHORT) if status.code() is StatusCode.OK else status


def _status_of(call: Call) -> aio.AioRpcError:
    """The present status of a call that is over; an error even if it is OK."""
    return aio.AioRpcError(
        _result(call.code()),
        aio.Metadata(),
        aio.Metadata.from_tuple(tuple(_result(call.trailing_metadata()))),
        _result(call.details()),
    )


def _result(step: Coroutine[Any, Any, T]) -> T:
    """What a coroutine returns that has nothing to wait for."""
    try:
        step.send(None)
    except StopIteration as done:
        result: T = done.value
        return result
    raise AssertionError
