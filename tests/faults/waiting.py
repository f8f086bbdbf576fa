"""Waiting for a condition."""

import asyncio
import time
from collections.abc import Awaitable, Callable

_POLL_S = 0.01


async def until(
    condition: Callable[[], Awaitable[bool]], what: str, deadline_s: float = 30.0
) -> None:
    """Asks again and again until the condition holds; TimeoutError, which says what did not come,
    when it does not within the deadline.
    """
    give_up = time.monotonic() + deadline_s
    while not await condition():
        if time.monotonic() > give_up:
            raise TimeoutError(f"not within {deadline_s:g} s: {what}")
        await asyncio.sleep(_POLL_S)
