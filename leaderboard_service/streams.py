"""Reading server streams."""

import asyncio
from typing import TypeVar, cast

from grpc import aio

RequestT = TypeVar("RequestT")
ResponseT = TypeVar("ResponseT")


async def next_message(
    call: aio.UnaryStreamCall[RequestT, ResponseT], silence_s: float
) -> ResponseT | None:
    """The next message, None at the end. A stream may live for ever, its silence may not:
    TimeoutError when nothing comes for `silence_s`.
    """
    async with asyncio.timeout(silence_s):
        message = await call.read()
    return None if message is aio.EOF else cast("ResponseT", message)
