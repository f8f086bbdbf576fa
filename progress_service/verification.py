"""VerifyLedger: everything compared at one position, for whoever asks.

The comparison is a task of its own that reads as fast as the database answers; the caller is
sent what is in the spool, so a slow one holds nothing in the database.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

from progress_service.store import audit, user_ranges
from progress_service.store.database import Database, Purpose
from progress_service.store.mismatch_spool import MAX_MISMATCHES, MismatchSpool, SpoolFullError
from progress_service.store.mismatches import Mismatch
from progress_service.store.positions import Position, read_head
from progress_service.store.user_ranges import Stride
from shared.errors import FailedPrecondition, ResourceExhausted, Unavailable

MAX_VERIFICATIONS = 2
"""Each has a database connection of its own until it is through."""
MESSAGE_SIZE = 1_000
_SIGN_OF_LIFE_S = 5.0


@dataclass(frozen=True, slots=True)
class Verified:
    """How far a verification is: `mismatches` are new, and all of those of the users checked
    have been told.
    """

    position: Position
    users_total: int
    users_checked: int
    mismatches: tuple[Mismatch, ...] = ()


Write = Callable[[Verified], Awaitable[None]]


@dataclass
class _Run:
    """One verification, between the task that compares and the one that tells."""

    spool: MismatchSpool
    position: Position | None = None
    users_total: int = 0
    grown: asyncio.Event = field(default_factory=asyncio.Event)

    def mark(self, users_checked: int) -> None:
        self.spool.mark(users_checked)
        self.grown.set()


@dataclass
class Verification:
    """`verify` for each caller; `draining` ends those under way."""

    database: Database
    draining: asyncio.Event
    max_mismatches: int = MAX_MISMATCHES
    running: int = 0

    async def verify(self, write: Write) -> None:
        """Tells what differs, all of it as of one position, and how far it is; counts only rise.

        Raises ResourceExhausted (TOO_MANY_VERIFICATIONS), Unavailable (DRAINING), and
        FailedPrecondition (TOO_MANY_MISMATCHES) once as many have been told as are kept.
        """
        if self.running >= MAX_VERIFICATIONS:
            raise ResourceExhausted(
                "TOO_MANY_VERIFICATIONS", "Too many verifications are under way.", retry_delay_s=5
            )
        self.running += 1
        try:
            with closing(MismatchSpool(self.max_mismatches)) as spool:
                await self._tell(_Run(spool), write)
        finally:
            self.running -= 1

    async def _tell(self, run: _Run, write: Write) -> None:
        comparing = asyncio.ensure_future(self._compare(run))
        try:
            while not self.draining.is_set():
                done = comparing.done()
                run.grown.clear()
                step = run.spool.take(MESSAGE_SIZE)
                if run.position is not None and (step.is_news or not done):
                    await write(
                        Verified(run.position, run.users_total, step.users_checked, step.mismatches)
                    )
                if step.is_news:
                    continue
                if done:
                    return comparing.result()
                await self._wait(comparing, run)
            raise Unavailable("DRAINING", "This server is shutting down; verify again.")
        finally:
            comparing.cancel()
            await asyncio.wait([comparing])

    async def _wait(self, comparing: "asyncio.Future[None]", run: _Run) -> None:
        """Until there may be more to tell, or the caller should hear that we are at it."""
        waits = [asyncio.ensure_future(one.wait()) for one in (run.grown, self.draining)]
        try:
            everything: list[asyncio.Future[Any]] = [comparing, *waits]
            await asyncio.wait(
                everything,
                timeout=_SIGN_OF_LIFE_S,
                return_when=asyncio.FIRST_COMPLETED,
            )
        finally:
            for one in waits:
                one.cancel()

    async def _compare(self, run: _Run) -> None:
        async with self.database.read(Purpose.AUDIT) as connection:
            await audit.prepare(connection, unhurried=True)
            run.position = (await read_head(connection)).position
            run.users_total = await user_ranges.count_users(connection)
            run.mark(0)
            stride = Stride()
            checked, after, is_last = 0, "", False
            while not is_last:
                began_at = time.monotonic()
                users = await user_ranges.next_range(connection, after, stride.users)
                try:
                    await audit.compare(connection, users, run.spool.add)
                except SpoolFullError:
                    raise _too_many(self.max_mismatches) from None
                checked += users.users
                run.mark(checked)
                stride.took(time.monotonic() - began_at)
                after, is_last = users.through, users.is_last


def _too_many(limit: int) -> FailedPrecondition:
    return FailedPrecondition(
        "TOO_MANY_MISMATCHES", f"More than {limit:,} figures differ; these are the first."
    )
