"""ImportProgress: many attempts and awards over one stream, in batches.

Each message is one batch and gets one answer. A batch is written in rounds, each a group of
different users, so that one user's items keep their order. Nothing is kept of a batch that is
answered but counts, so memory stays flat; running an import again replays what was recorded.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property
from typing import Protocol

from sqlalchemy.ext.asyncio import AsyncConnection

from progress_service.committer import count
from progress_service.credit_log import CreditLog
from progress_service.domain.course import Course
from progress_service.domain.ledger import XP
from progress_service.domain.user import User
from progress_service.store import active_days, course_edits, users
from progress_service.store.database import Database
from progress_service.store.recorder import Command, Outcome, Recorder
from shared.errors import LaurelError
from shared.logging import request_id

ROUND_SIZE = 500
MAX_ERRORS = 100


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
    def user_ids(self) -> frozenset[str]:
        """The users of its attempts and awards."""
        return frozenset(one.user_id for one in self.commands if not isinstance(one, LaurelError))


@dataclass(frozen=True, slots=True)
class Rejection:
    """A command that was refused; `index` counts across the whole import, from 0."""

    index: int
    request_id: str
    error: LaurelError


@dataclass(slots=True)
class ImportCounts:
    """So far, over the whole import."""

    received: int = 0
    recorded: int = 0
    replayed: int = 0
    rejected: int = 0
    xp_credited: int = 0


class _Writer(Protocol):
    depth: int

    async def put(self, batch: ImportBatch) -> None: ...

    async def record(self, commands: Sequence[Command]) -> list[Outcome]: ...


@dataclass
class Importer:
    """Opens imports; `on_commit` is called after each round that was committed."""

    database: Database
    recorder: Recorder
    dry_run_recorder: Callable[[], Recorder]
    credit_log: CreditLog
    on_commit: Callable[[], None]

    @asynccontextmanager
    async def open(self, *, dry_run: bool) -> "AsyncIterator[Import]":
        """An import. A dry run is one transaction, rolled back at its end: what comes later
        in the stream sees what came before, and nothing remains. It holds the rows of its
        users meanwhile, and PostgreSQL ends it when it is silent for 30 s.
        """
        if not dry_run:
            yield Import(_Committing(self.database, self.recorder, self.credit_log, self.on_commit))
            return
        async with self.database.transaction() as connection:
            try:
                yield Import(_RollingBack(connection, self.dry_run_recorder()))
            finally:
                await connection.rollback()


@dataclass
class Import:
    """One stream's import."""

    _writer: _Writer
    counts: ImportCounts = field(default_factory=ImportCounts)

    async def run(
        self,
        batches: AsyncIterator[ImportBatch],
        answer: Callable[["Import", Sequence[Rejection]], Awaitable[None]],
    ) -> None:
        """Writes the batches and answers each, in order, as soon as it is written.

        While the database writes one batch, the next is judged, unless they share a user or
        one holds users or courses: so each user's items keep their order. Whoever does not
        take the answers is not read on from.
        """
        under_way: deque[tuple[ImportBatch, asyncio.Task[None]]] = deque()

        async def settle(batch: ImportBatch, before: asyncio.Task[None] | None) -> None:
            outcomes = await self._apply(batch)
            if before is not None:
                await before
            await answer(self, self._settled(batch, outcomes))

        try:
            async with asyncio.TaskGroup() as tasks, _finished(under_way):
                async for batch in batches:
                    while under_way and (
                        len(under_way) >= self._writer.depth
                        or any(_must_follow(batch, earlier) for earlier, _ in under_way)
                    ):
                        await under_way.popleft()[1]
                    before = under_way[-1][1] if under_way else None
                    under_way.append((batch, tasks.create_task(settle(batch, before))))
        except BaseExceptionGroup as group:
            # One failure ends the import; the others are its consequence.
            raise group.exceptions[0] from None

    async def _apply(self, batch: ImportBatch) -> list[Outcome]:
        """Writes one batch: users first, then courses, then commands in rounds.

        Raises InvalidInput when a user or a course is wrong: then nothing of the batch is
        written, and the import can be run again.
        """
        await self._writer.put(batch)
        outcomes: dict[int, Outcome] = {
            n: one for n, one in enumerate(batch.commands) if isinstance(one, LaurelError)
        }
        for numbers in _rounds(batch.commands):
            commands = [
                one for n in numbers if not isinstance(one := batch.commands[n], LaurelError)
            ]
            recorded = await self._writer.record(commands)
            outcomes |= zip(numbers, recorded, strict=True)
        return [outcomes[n] for n in range(len(batch.commands))]

    def _settled(self, batch: ImportBatch, outcomes: Sequence[Outcome]) -> list[Rejection]:
        """Counts a written batch; its rejections, in their order."""
        first = self.counts.received
        for outcome in outcomes:
            self._count(outcome)
        return [
            Rejection(first + n, batch.request_ids[n], outcome)
            for n, outcome in enumerate(outcomes)
            if isinstance(outcome, LaurelError)
        ]

    def _count(self, outcome: Outcome) -> None:
        counts = self.counts
        counts.received += 1
        if isinstance(outcome, LaurelError):
            counts.rejected += 1
        elif outcome.replayed:
            counts.replayed += 1
        else:
            counts.recorded += 1
            counts.xp_credited += sum(
                entry.credit.amount for entry in outcome.credited if entry.credit.metric == XP
            )


@asynccontextmanager
async def _finished(
    under_way: deque[tuple[ImportBatch, asyncio.Task[None]]],
) -> AsyncIterator[None]:
    """Whoever sends a wrong message still gets the answers to those before it."""
    try:
        yield
    except LaurelError:
        for _, task in under_way:
            await task
        raise


def _must_follow(batch: ImportBatch, earlier: ImportBatch) -> bool:
    return earlier.defines or batch.defines or not batch.user_ids.isdisjoint(earlier.user_ids)


def _rounds(commands: Sequence[Command | LaurelError]) -> Iterator[list[int]]:
    """The commands' numbers in groups of different users, each user's in their order."""
    rounds: list[list[int]] = []
    seen: dict[str, int] = {}
    for n, command in enumerate(commands):
        if isinstance(command, LaurelError):
            continue
        turn = seen.get(command.user_id, 0)
        while turn < len(rounds) and len(rounds[turn]) >= ROUND_SIZE:
            turn += 1
        if turn == len(rounds):
            rounds.append([])
        rounds[turn].append(n)
        seen[command.user_id] = turn + 1
    yield from rounds


@dataclass
class _Committing:
    """Commits users and courses of a batch together, and each round."""

    database: Database
    recorder: Recorder
    credit_log: CreditLog
    on_commit: Callable[[], None]
    depth: int = 2

    async def put(self, batch: ImportBatch) -> None:
        if batch.defines:

            async def work(connection: AsyncConnection) -> None:
                await _put(connection, batch)

            await self.database.write(work)
            self.on_commit()

    async def record(self, commands: Sequence[Command]) -> list[Outcome]:
        async def work(connection: AsyncConnection) -> list[Outcome]:
            return await self.recorder.record(connection, commands)

        outcomes = await self.database.write(work)
        self.on_commit()
        self.credit_log.write(outcomes, [request_id()] * len(outcomes))
        for command, outcome in zip(commands, outcomes, strict=True):
            count(command, outcome)
        return outcomes


@dataclass
class _RollingBack:
    """Works in the one transaction of a dry run."""

    connection: AsyncConnection
    recorder: Recorder
    depth: int = 1

    async def put(self, batch: ImportBatch) -> None:
        await _put(self.connection, batch)

    async def record(self, commands: Sequence[Command]) -> list[Outcome]:
        return await self.recorder.record(self.connection, commands)


async def _put(connection: AsyncConnection, batch: ImportBatch) -> None:
    if batch.users:
        await users.put(connection, batch.users)
    for course in batch.courses:
        await course_edits.put_course(connection, course)
    if batch.active_days:
        await active_days.add(connection, batch.active_days)
