"""Writes groups of commands so that one bad user fails alone."""

from collections.abc import Sequence
from dataclasses import dataclass

import structlog
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from progress_service.store.database import Database, Purpose
from progress_service.store.driver import sql_state
from progress_service.store.outcomes import Command, Outcome
from progress_service.store.recorder import Recorder
from shared.errors import LaurelError, Unavailable

log = structlog.get_logger(__name__)

_COMMON_CLASSES = {"53", "57", "58"}
"""SQLSTATE classes that no single command is to blame for: resources, a timeout, the disk."""


@dataclass(frozen=True, slots=True)
class GroupWriter:
    """`write` for any number of callers; the connections are those of `purpose`."""

    database: Database
    recorder: Recorder
    purpose: Purpose

    async def write(self, commands: Sequence[Command]) -> list[Outcome]:
        """Commits the commands together; the outcome of each, in their order.

        Users whom another transaction holds are left out, with USER_BUSY, when the group has
        waited 2 s for them. A group that fails for any reason of its own is committed one by
        one. Raises LaurelError when nothing was committed for a reason common to all.
        """
        try:
            return await self._commit(commands)
        except Unavailable as error:
            if error.reason != "ROW_BUSY":
                raise
            return await self._commit(commands, skip_held=True)
        except LaurelError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, the other users go on
            return await self._isolate(commands, error)

    async def _commit(
        self, commands: Sequence[Command], *, skip_held: bool = False
    ) -> list[Outcome]:
        async def work(connection: AsyncConnection) -> list[Outcome]:
            return await self.recorder.record(connection, commands, skip_held=skip_held)

        return await self.database.write(work, self.purpose)

    async def _isolate(self, commands: Sequence[Command], error: Exception) -> list[Outcome]:
        failure = _failure(error)
        if sql_state(error)[:2] in _COMMON_CLASSES:
            log.error("group failed", exc_info=error, commands=len(commands))
            raise failure from error
        if len(commands) == 1:
            log.error("submission failed", exc_info=error, user_id=commands[0].user_id)
            return [failure]
        log.warning("group failed; one by one", error=type(error).__name__)
        return [await self._alone(command) for command in commands]

    async def _alone(self, command: Command) -> Outcome:
        """What came before it is committed, so its failure is its own."""
        try:
            (outcome,) = await self.write([command])
        except LaurelError as error:
            return error
        return outcome


def _failure(error: Exception) -> Unavailable:
    if isinstance(error, IntegrityError):
        return Unavailable("CONSTRAINT_VIOLATED", "A concurrent write was in the way.")
    return Unavailable("WRITE_FAILED", "The write failed; retry it.")
