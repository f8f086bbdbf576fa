"""What an import is made of, and where it goes: into the database, or into a dry run."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from typing import Protocol

from sqlalchemy.ext.asyncio import AsyncConnection

from progress_service.committer import count
from progress_service.credit_log import CreditLog
from progress_service.domain.course import Course
from progress_service.domain.user import User
from progress_service.store import active_days, course_edits, users
from progress_service.store.database import Database, Purpose
from progress_service.store.dry_run import DryRun
from progress_service.store.group_writer import GroupWriter
from progress_service.store.outcomes import Command, Outcome
from shared.caller import request_id
from shared.errors import LaurelError


@dataclass(frozen=True)
class ImportBatch:
    """One message's contents. A command that could not be decoded is the error instead."""

    users: Sequence[User] = ()
    courses: Sequence[Course] = ()
    commands: Sequence[Command | LaurelError] = ()
    request_ids: Sequence[str] = ()
    active_days: Sequence[tuple[str, date]] = ()

    @property
    def defines(self) -> bool:
        """Whether it holds more than attempts and awards."""
        return bool(self.users or self.courses or self.active_days)

    @cached_property
    def numbered_users(self) -> list[tuple[int, str]]:
        """The number and the user of each command that could be decoded."""
        return [
            (n, one.user_id)
            for n, one in enumerate(self.commands)
            if not isinstance(one, LaurelError)
        ]

    @cached_property
    def user_ids(self) -> frozenset[str]:
        """The users of its attempts and awards."""
        return frozenset(user_id for _, user_id in self.numbered_users)


class Writer(Protocol):
    """Where an import's batches go; `depth`: how many may be under way."""

    depth: int

    async def put(self, batch: ImportBatch) -> None:
        """Takes users, courses and active days: all of them, or none and an error."""

    async def record(self, commands: Sequence[Command]) -> list[Outcome]:
        """The outcome of each command; all of them of different users."""


@dataclass
class Committing:
    """Commits users and courses of a batch together, and each round."""

    database: Database
    groups: GroupWriter
    credit_log: CreditLog
    on_commit: Callable[[], None]
    depth: int = 2

    async def put(self, batch: ImportBatch) -> None:
        if batch.defines:

            async def work(connection: AsyncConnection) -> None:
                await _put(connection, batch)

            await self.database.write(work, Purpose.IMPORT)
            self.on_commit()

    async def record(self, commands: Sequence[Command]) -> list[Outcome]:
        outcomes = await self.groups.write(commands)
        self.on_commit()
        self.credit_log.write(outcomes, [request_id()] * len(outcomes))
        for command, outcome in zip(commands, outcomes, strict=True):
            count(command, outcome)
        return outcomes


@dataclass
class Trying:
    """Reads and judges; each round from a snapshot of its own."""

    database: Database
    dry_run: DryRun
    depth: int = 1

    async def put(self, batch: ImportBatch) -> None:
        if batch.defines:
            async with self.database.read(Purpose.IMPORT) as connection:
                await self.dry_run.put(connection, batch.users, batch.courses, batch.active_days)

    async def record(self, commands: Sequence[Command]) -> list[Outcome]:
        async with self.database.read(Purpose.IMPORT) as connection:
            return await self.dry_run.record(connection, commands)


async def _put(connection: AsyncConnection, batch: ImportBatch) -> None:
    if batch.users:
        await users.put(connection, batch.users)
    for course in batch.courses:
        await course_edits.put_course(connection, course)
    if batch.active_days:
        await active_days.add(connection, batch.active_days)
