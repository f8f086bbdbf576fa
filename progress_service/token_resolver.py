"""Consistency tokens to positions: waits until what they name has its number."""

from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncConnection

from progress_service import metrics
from progress_service.domain.write_mark import WriteMark
from progress_service.publisher import Publisher, not_numbered_yet
from progress_service.store import written
from progress_service.store.written import Place
from shared.errors import DeadlineExceeded, ResourceExhausted

_MARGIN = 0.1
"""Of the caller's time, for the answer to reach it."""


@dataclass
class TokenResolver:
    """`resolve` for each call; each that waits looks into the database now and then."""

    publisher: Publisher
    most_s: float = 10.0
    """For a caller without a deadline."""
    max_waiting: int = 256
    waiting: int = 0

    def __post_init__(self) -> None:
        metrics.TOKEN_WAITERS.set_function(lambda: self.waiting)

    async def resolve(self, mark: WriteMark, remaining_s: Callable[[], float | None]) -> Place:
        """The place of the marked write, once it is numbered.

        Raises as `written.find`; DeadlineExceeded when the caller's time is over first, and
        Unavailable (NOT_NUMBERED_YET) after `most_s` for a caller without a deadline; Unavailable
        (DRAINING); ResourceExhausted (TOO_MANY_WAITERS).
        """

        async def find(connection: AsyncConnection) -> Place | None:
            return await written.find(connection, mark)

        if self.waiting >= self.max_waiting:
            raise ResourceExhausted(
                "TOO_MANY_WAITERS", "Too many calls wait for a write.", retry_delay_s=0.5
            )
        left_s = remaining_s()
        self.waiting += 1
        try:
            within_s = self.most_s if left_s is None else left_s * (1 - _MARGIN)
            place = await self.publisher.once_numbered(find, within_s)
        finally:
            self.waiting -= 1
        if place is not None:
            return place
        if left_s is None:
            raise not_numbered_yet()
        raise DeadlineExceeded("DEADLINE_EXCEEDED", "The write has no number yet.")
