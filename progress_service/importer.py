"""ImportProgress: many items over one stream, in batches.

Each message is one batch and gets one answer, which says what became of every item in it: one
that is wrong never stops the others. Attempts and awards are written in rounds, each a group of
different users, so that one user's items keep their order. Nothing is kept of a batch that is
answered but counts, so memory stays flat; running an import again replays what was recorded.
"""

import asyncio
from collections import Counter, deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeVar

from progress_service.credit_log import CreditLog
from progress_service.domain import active_day
from progress_service.domain.active_day import ActiveDay
from progress_service.import_batch import (
    BatchOutcomes,
    ImportBatch,
    ImportCounts,
    Rejection,
    Stored,
)
from progress_service.import_silence import SILENCE_S, Silence
from progress_service.import_writers import Committing, Trying, Writer
from progress_service.store.database import Database
from progress_service.store.dry_run import DryRun
from progress_service.store.outcomes import Command, Outcome
from progress_service.store.recorder import Recorder
from progress_service.store.users import Profiles
from shared.errors import LaurelError, ResourceExhausted

ROUND_SIZE = 500
MAX_ERRORS = 100
MAX_IMPORTS = 4
MAX_DRY_RUNS = 2
"""Of them; a dry run remembers what it was sent."""

T = TypeVar("T")


@dataclass
class Importer:
    """Opens imports; `on_commit` is called after each round that was committed."""

    database: Database
    recorder: Recorder
    dry_run: Callable[[], DryRun]
    profiles: Profiles
    credit_log: CreditLog
    on_commit: Callable[[], None]
    silence_s: float = SILENCE_S
    _open: "Counter[bool]" = field(default_factory=Counter)

    @asynccontextmanager
    async def open(self, *, dry_run: bool) -> "AsyncIterator[Import]":
        """An import, or a dry run, which only reads: what comes later in the stream is judged
        as if what came before were recorded.

        Raises ResourceExhausted (TOO_MANY_IMPORTS).
        """
        if self._open.total() >= MAX_IMPORTS or (dry_run and self._open[True] >= MAX_DRY_RUNS):
            raise ResourceExhausted(
                "TOO_MANY_IMPORTS", "Too many imports are under way.", retry_delay_s=5
            )
        self._open[dry_run] += 1
        try:
            writer = Trying(self.database, self.dry_run()) if dry_run else self._committing()
            yield Import(writer, self.profiles.clock, Silence(self.silence_s))
        finally:
            self._open[dry_run] -= 1

    def _committing(self) -> Committing:
        return Committing(
            self.database, self.recorder, self.profiles, self.credit_log, self.on_commit
        )


@dataclass(eq=False)
class _UnderWay:
    """A batch on its way: into the database, then its answer to the caller."""

    batch: ImportBatch
    written: "asyncio.Task[BatchOutcomes]"
    settled: "asyncio.Task[None]" = field(init=False)


@dataclass
class Import:
    """One stream's import."""

    _writer: Writer
    _clock: Callable[[], datetime]
    _silence: Silence
    counts: ImportCounts = field(default_factory=ImportCounts)

    async def run(
        self,
        batches: AsyncIterator[ImportBatch],
        answer: Callable[["Import", Sequence[Rejection]], Awaitable[None]],
    ) -> None:
        """Writes the batches and answers each, in order, as soon as it is written.

        While the database writes one batch, the next is judged, unless one of them holds users,
        courses or active days; only the items of users that are in both wait, so that each
        user's items keep their order. Whoever does not take the answers is not read on from.
        Raises Unavailable (CALLER_SILENT), and what `batches` and `answer` raise.
        """
        under_way: deque[_UnderWay] = deque()

        async def settle(one: _UnderWay, before: _UnderWay | None) -> None:
            outcomes = await one.written
            if before is not None:
                await before.settled
            await answer(self, self.counts.take(one.batch, outcomes))
            self._silence.answered()

        try:
            async with asyncio.TaskGroup() as tasks, _finished(under_way):
                async for batch in self._silence.bounded(batches):
                    while under_way and (
                        len(under_way) >= self._writer.depth
                        or batch.defines
                        or under_way[-1].batch.defines
                    ):
                        await under_way.popleft().settled
                    before = under_way[-1] if under_way else None
                    one = _UnderWay(batch, tasks.create_task(self._apply(batch, before)))
                    one.settled = tasks.create_task(settle(one, before))
                    under_way.append(one)
        except BaseExceptionGroup as group:
            # One failure ends the import; the others are its consequence.
            raise group.exceptions[0] from None

    async def _apply(self, batch: ImportBatch, before: "_UnderWay | None") -> BatchOutcomes:
        """Writes one batch, part by part; of the commands those of users that are in `before`
        as well when that is written.
        """
        writer = self._writer
        return BatchOutcomes(
            users=await _good(batch.users, writer.put_users),
            courses=await _good(batch.courses, writer.put_courses),
            commands=await self._apply_commands(batch, before),
            active_days=await _good(self._checked(batch.active_days), writer.add_days),
        )

    async def _apply_commands(
        self, batch: ImportBatch, before: "_UnderWay | None"
    ) -> list[Outcome]:
        busy = before.batch.user_ids if before else frozenset()
        outcomes: dict[int, Outcome] = {
            n: one for n, one in enumerate(batch.commands) if isinstance(one, LaurelError)
        }
        free = [n for n, user_id in batch.numbered_users if user_id not in busy]
        await self._record(batch, free, outcomes)
        if before is not None and len(outcomes) < len(batch.commands):
            await asyncio.wait([before.written])
            late = [n for n, user_id in batch.numbered_users if user_id in busy]
            await self._record(batch, late, outcomes)
        return [outcomes[n] for n in range(len(batch.commands))]

    async def _record(
        self, batch: ImportBatch, numbers: Sequence[int], outcomes: dict[int, Outcome]
    ) -> None:
        for turn in _rounds(batch.commands, numbers):
            commands = [one for n in turn if not isinstance(one := batch.commands[n], LaurelError)]
            outcomes |= zip(turn, await self._writer.record(commands), strict=True)

    def _checked(self, days: Sequence[ActiveDay | LaurelError]) -> list[ActiveDay | LaurelError]:
        now = self._clock()
        checked: list[ActiveDay | LaurelError] = []
        for one in days:
            try:
                if not isinstance(one, LaurelError):
                    active_day.check(one, now)
                checked.append(one)
            except LaurelError as error:
                checked.append(error)
        return checked


async def _good(
    items: Sequence[T | LaurelError], store: Callable[[Sequence[T]], Awaitable[list[Stored]]]
) -> list[Stored]:
    """Stores the items that are none of them wrong by themselves; what became of each."""
    good = [one for one in items if not isinstance(one, LaurelError)]
    stored = iter(await store(good) if good else ())
    return [one if isinstance(one, LaurelError) else next(stored) for one in items]


@asynccontextmanager
async def _finished(
    under_way: "deque[_UnderWay]",
) -> AsyncIterator[None]:
    """Whoever sends a wrong message still gets the answers to those before it."""
    try:
        yield
    except LaurelError:
        for one in under_way:
            await one.settled
        raise


def _rounds(
    commands: Sequence[Command | LaurelError], numbers: Sequence[int]
) -> Iterator[list[int]]:
    """The numbers of commands in groups of different users, each user's in their order."""
    rounds: list[list[int]] = []
    seen: dict[str, int] = {}
    for n in numbers:
        command = commands[n]
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
