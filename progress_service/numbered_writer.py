"""Writes that are answered with their place in the history."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncConnection

from progress_service.publisher import Publisher
from progress_service.store.database import Database, Purpose
from progress_service.store.positions import Position

_MOST_S = 20.0
_MARGIN = 0.1
"""Of the caller's time, for the answer to reach it."""


@dataclass(frozen=True, slots=True)
class NumberedWriter:
    """Commits, has the change numbered, and waits for it."""

    database: Database
    publisher: Publisher
    on_commit: Callable[[], None]

    async def write(
        self,
        work: Callable[[AsyncConnection], Awaitable[int]],
        remaining_s: Callable[[], float | None],
        purpose: Purpose = Purpose.EDIT,
    ) -> Position:
        """The place of the change that `work` queues, or had queued before: its change_id.

        Raises as `Database.write`, and Unavailable (NOT_NUMBERED_YET) when the change has no
        number before the caller's time, or 20 s, are over: then it is committed, and `work`
        must answer the same change_id when it is repeated.
        """
        change_id = await self.database.write(work, purpose)
        self.on_commit()
        left_s = remaining_s()
        within_s = _MOST_S if left_s is None else min(left_s * (1 - _MARGIN), _MOST_S)
        return await self.publisher.position_of(change_id, within_s)
