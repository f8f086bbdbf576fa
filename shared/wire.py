"""What a method reads off the wire, and how it ends a call, whoever may call it."""

import asyncio
from collections.abc import Callable
from typing import Any, NoReturn

import grpc
from google.protobuf.message import DecodeError
from google.rpc import status_pb2
from grpc import aio

from shared.errors import InvalidInput, LaurelError, Unimplemented
from shared.status import CODES, DETAILS_KEY, status_of


class WrittenContext:
    """The context of a call that answers with a stream. Its metadata go by themselves before the
    first message, for they take no room with the reader: were they to go with a message that is
    not read, the call could not be ended either. A call without a message has its status alone.
    """

    def __init__(self, context: Any) -> None:
        self._context = context
        self._is_begun = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._context, name)

    async def write(self, message: Any) -> None:
        """Sends a message, once there is room for it."""
        if not self._is_begun:
            self._is_begun = True
            await self._context.send_initial_metadata(())
        await self._context.write(message)


async def only_request(context: Any) -> bytes:
    """The request of a call that brings one. Raises InvalidInput when it has ended without."""
    data = await context.read()
    if data is aio.EOF:
        raise InvalidInput("MALFORMED_REQUEST", "The call has ended without a request.")
    return bytes(data)


def parsed(parse: Callable[[bytes], Any] | None, data: bytes) -> Any:
    """The message; raises InvalidInput when the bytes are none."""
    assert parse is not None  # noqa: S101 - generated code has one for each method
    try:
        return parse(data)
    except DecodeError:
        raise InvalidInput(
            "MALFORMED_REQUEST", "The request is not a message of its type."
        ) from None


async def unimplemented(_request: object, _context: object) -> NoReturn:
    """The behaviour of a method that the servicer does not have."""
    raise Unimplemented("UNIMPLEMENTED", "This server does not offer this method.")


async def refuse(context: Any, error: LaurelError) -> None:
    """Ends the call as the error says; the handler returns then."""
    forget_frames(error)
    await _abort(context, status_of(error), CODES[type(error)])


async def fail(context: Any, error: BaseException, message: str) -> None:
    """Ends the call as INTERNAL with this text, which says nothing of the error."""
    forget_frames(error)
    status = status_pb2.Status(code=grpc.StatusCode.INTERNAL.value[0], message=message)
    await _abort(context, status, grpc.StatusCode.INTERNAL)


def forget_frames(error: BaseException) -> None:
    """Lets go of what the error has passed. grpc keeps what `abort` raises with the call, and
    raises it again when the handler returns. If its traceback, or that of what it was raised for,
    led to our frames, and through them to the call, that would be a cycle: the call and what has
    come of its request, which may be large, would stay until the collector comes by.
    """
    error.__traceback__ = error.__context__ = error.__cause__ = None


async def _abort(context: Any, status: status_pb2.Status, code: grpc.StatusCode) -> None:
    try:
        await context.abort(
            code, status.message, trailing_metadata=((DETAILS_KEY, status.SerializeToString()),)
        )
    except aio.AbortError as aborted:
        forget_frames(aborted)
    except aio.InternalError:
        raise asyncio.CancelledError from None  # Nothing can be sent: the client is gone.
