"""Writes groups of items, each of one user, so that one bad user fails alone."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

import structlog
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from progress_service.store.database import Database, Purpose
from shared.errors import LaurelError, ResourceExhausted, Unavailable

log = structlog.get_logger(__name__)


class Item(Protocol):
    """Something that is written for one user."""

    @property
    def user_id(self) -> str: ...


I = TypeVar("I", bound=Item)  # noqa: E741 - an item
R = TypeVar("R")
I_contra = TypeVar("I_contra", bound=Item, contravariant=True)
R_co = TypeVar("R_co", covariant=True)


class Write(Protocol[I_contra, R_co]):
    """Writes items in the caller's transaction; the outcome of each, in their order.

    Waits for users that another transaction holds; with `skip_held` theirs are refused instead.
    """

    async def __call__(
        self, connection: AsyncConnection, items: Sequence[I_contra], /, *, skip_held: bool = False
    ) -> Sequence[R_co | LaurelError]: ...


@dataclass(frozen=True, slots=True)
class GroupWriter(Generic[I, R]):
    """`write` for any number of callers; the connections are those of `purpose`."""

    database: Database
    record: Write[I, R]
    purpose: Purpose

    async def write(self, items: Sequence[I]) -> list[R | LaurelError]:
        """Commits the items together; the outcome of each, in their order.

        Users whom another transaction holds are left out, with USER_BUSY, when the group has
        waited 2 s for them. A group that fails for any reason of its own is committed one by
        one. Raises LaurelError when nothing was committed for a reason common to all.
        """
        try:
            return await self._commit(items)
        except (Unavailable, ResourceExhausted) as error:
            if error.reason != "ROW_BUSY":
                raise
            return await self._commit(items, skip_held=True)
        except Exception as error:  # noqa: BLE001 - whatever it is, the other users go on
            return await self._isolate(items, error)

    async def _commit(
        self, items: Sequence[I], *, skip_held: bool = False
    ) -> list[R | LaurelError]:
        async def work(connection: AsyncConnection) -> list[R | LaurelError]:
            return [*await self.record(connection, items, skip_held=skip_held)]

        return await self.database.write(work, self.purpose)

    async def _isolate(self, items: Sequence[I], error: Exception) -> list[R | LaurelError]:
        failure = error if isinstance(error, LaurelError) else failure_of(error)
        if len(items) == 1:
            if failure is not error:
                log.error("write failed", exc_info=error, user_id=items[0].user_id)
            return [failure]
        log.warning("group failed; one by one", error=type(error).__name__)
        return [await self._alone(item) for item in items]

    async def _alone(self, item: I) -> R | LaurelError:
        """What came before it is committed, so its failure is its own."""
        try:
            (outcome,) = await self.write([item])
        except LaurelError as error:
            return error
        return outcome


def failure_of(error: Exception) -> Unavailable:
    """What an unexpected error means to whoever sent what could not be written."""
    if isinstance(error, IntegrityError):
        return Unavailable("CONSTRAINT_VIOLATED", "A concurrent write was in the way.")
    return Unavailable("WRITE_FAILED", "The write failed; retry it.")
