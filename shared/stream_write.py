"""Writing to a stream whose reader may have stopped reading."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from shared.errors import Unavailable

T = TypeVar("T")

STALL_S = 30.0
"""A reader that takes nothing for so long is cut off; gRPC has buffered some MiB for it by then."""


async def write_within(
    write: Callable[[T], Awaitable[None]], message: T, stall_s: float = STALL_S
) -> None:
    """Sends one message; Unavailable (READER_STALLED) when the reader does not take it."""
    try:
        async with asyncio.timeout(stall_s):
            await write(message)
    except TimeoutError:
        raise Unavailable(
            "READER_STALLED", f"Nothing was read for {stall_s:g} s; resume from where you are."
        ) from None
