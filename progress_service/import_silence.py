"""How long the caller of an import may be silent."""

import asyncio
from collections.abc import AsyncIterator
from typing import TypeVar

from shared.errors import Unavailable

T = TypeVar("T")

SILENCE_S = 300.0
"""Long enough for whoever reads from a slow source; few imports may be under way at once, so
none may wait for ever for a caller that has forgotten it. (One whose machine is gone is noticed
by keep-alives, within 40 s.)
"""


class Silence:
    """Counts the time in which the caller has every answer and sends nothing."""

    def __init__(self, limit_s: float) -> None:
        self._limit_s = limit_s
        self._unanswered = 0
        self._waiting: asyncio.Timeout | None = None

    async def bounded(self, batches: AsyncIterator[T]) -> AsyncIterator[T]:
        """The batches; `answered` is to be called once for each.

        Raises Unavailable (CALLER_SILENT) when the next one does not come.
        """
        while (batch := await self._next(batches)) is not None:
            self._unanswered += 1
            yield batch

    def answered(self) -> None:
        """The caller has been sent an answer."""
        self._unanswered -= 1
        if self._waiting is not None and not self._unanswered:
            self._waiting.reschedule(asyncio.get_running_loop().time() + self._limit_s)

    async def _next(self, batches: AsyncIterator[T]) -> T | None:
        limit_s = None if self._unanswered else self._limit_s
        try:
            async with asyncio.timeout(limit_s) as self._waiting:
                return await anext(batches, None)
        except TimeoutError:
            raise Unavailable(
                "CALLER_SILENT", f"Nothing was sent for {self._limit_s:g} s; run it again."
            ) from None
        finally:
            self._waiting = None
