"""BackfillTotals: all users looked at, and those mended whose figures differ from the ledger."""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from zoneinfo import ZoneInfo

from sqlalchemy.ext.asyncio import AsyncConnection

from progress_service.credit_log import CreditLog
from progress_service.publisher import Publisher
from progress_service.store import admin_actions, audit, backfills, user_ranges
from progress_service.store.admin_actions import AdminAction
from progress_service.store.backfills import Mended, Repair, TotalUpdate
from progress_service.store.database import Database, Purpose
from progress_service.store.outcomes import Recorded
from progress_service.store.unpaid import UnpaidCompletions
from progress_service.store.user_ranges import Stride
from shared.caller import request_id
from shared.errors import ResourceExhausted, Unavailable
from shared.identity import Actor

MAX_BACKFILLS = 4
MESSAGE_SIZE = 1_000
_MOST_USERS = 200
"""Looked at together."""
_MOST_MENDED = 50
"""Held together."""
_MOST_CORRECTIONS = 200
"""Queued together, as far as they are not one user's: each is a batch of the sequencer, and
what others write meanwhile is numbered after them.
"""
_GIVE_UP_S = 120.0
"""For how long users may be held by others without a single one coming free."""
_MAX_PAUSE_S = 2.0
_NUMBERED_S = 10.0


@dataclass(frozen=True, slots=True)
class BackfillRequest:
    """What is wanted, and by whom."""

    dry_run: bool
    credit_missing: bool
    actor: Actor


@dataclass(frozen=True, slots=True)
class Backfilled:
    """How far a backfill is; `updates` are new, counts are of all of it."""

    users_total: int
    users_checked: int = 0
    users_updated: int = 0
    standings_corrected: int = 0
    completions_credited: int = 0
    updates: tuple[TotalUpdate, ...] = ()

    def after(self, users: int, repair: Repair, completions: int) -> "Backfilled":
        """When so many users more have been looked at, and this was wrong with them."""
        checked = self.users_checked + users
        return Backfilled(
            # Users who came meanwhile are looked at too.
            users_total=max(self.users_total, checked),
            users_checked=checked,
            users_updated=self.users_updated + len({one.user_id for one in repair.updates}),
            standings_corrected=self.standings_corrected + len(repair.standings),
            completions_credited=self.completions_credited + completions,
            updates=repair.updates,
        )


Write = Callable[[Backfilled], Awaitable[None]]


@dataclass
class Backfill:
    """`run` for each caller."""

    database: Database
    publisher: Publisher
    credit_log: CreditLog
    on_commit: Callable[[], None]
    zone: ZoneInfo
    give_up_s: float = _GIVE_UP_S
    running: int = 0

    async def run(self, request: BackfillRequest, write: Write) -> None:
        """Mends everything, a few users at a time, and tells how far it is; a dry run only
        tells. While the caller is slow to listen nobody is held.

        Each few are mended in one transaction, so it may be cut anywhere and run again, and
        others may run it at the same time. Before the next few it waits until the corrections
        have a number, or 10 s, so that they never keep the changes of others waiting for long.
        Raises ResourceExhausted (TOO_MANY_BACKFILLS), and Unavailable (DRAINING, or USERS_BUSY
        for users whom others hold without end).
        """
        if self.running >= MAX_BACKFILLS:
            raise ResourceExhausted(
                "TOO_MANY_BACKFILLS", "Too many backfills are under way.", retry_delay_s=5
            )
        self.running += 1
        try:
            await _Run(self, request, write).run()
        finally:
            self.running -= 1


@dataclass
class _Run:
    """One backfill. `later`: users whom others held, or with a board that is about to be reset."""

    parts: Backfill
    request: BackfillRequest
    write: Write
    unpaid: UnpaidCompletions | None = None
    stride: Stride = field(default_factory=lambda: Stride(most=_MOST_USERS))
    done: Backfilled = field(default_factory=lambda: Backfilled(0))
    later: list[str] = field(default_factory=list)

    async def run(self) -> None:
        if self.request.credit_missing:
            self.unpaid = UnpaidCompletions(self.parts.zone)
        if not self.request.dry_run:
            await self.parts.database.write(self._record, Purpose.AUDIT)
        async with self.parts.database.read(Purpose.AUDIT) as connection:
            self.done = Backfilled(await user_ranges.count_users(connection))
        after, is_last = "", False
        while not is_last:
            self._check_draining()
            began_at = time.monotonic()
            async with self.parts.database.read(Purpose.AUDIT) as connection:
                await audit.prepare(connection)
                users = await user_ranges.next_range(connection, after, self.stride.users)
                repair = await backfills.find(connection, users, self.unpaid)
            self.stride.took(time.monotonic() - began_at)
            await self._take(users.users, repair)
            after, is_last = users.through, users.is_last
        await self._take_later()

    async def _record(self, connection: AsyncConnection) -> None:
        """The call itself; whom it changed is recorded with each change."""
        detail = "credit_missing" if self.request.credit_missing else ""
        action = AdminAction(backfills.METHOD, self.request.actor, "", detail)
        await admin_actions.record(connection, [action])

    async def _take(self, users: int, repair: Repair) -> None:
        """So many users have been looked at, and this is wrong with them."""
        if self.request.dry_run:
            await self._tell(self.done.after(users, repair, len(repair.unpaid)))
            return
        suspects = repair.user_ids
        await self._tell(self.done.after(users - len(suspects), _NOTHING, 0))
        for user_ids in _groups(repair, min(self.stride.users, _MOST_MENDED)):
            await self._mend(user_ids, wait=False)

    async def _take_later(self) -> None:
        """Those who were held, one at a time."""
        pause_s, free_at = 0.05, time.monotonic()
        while self.later:
            waiting, self.later = self.later, []
            for user_id in waiting:
                self._check_draining()
                try:
                    await self._mend([user_id], wait=True)
                except (Unavailable, ResourceExhausted) as error:
                    if error.reason != "ROW_BUSY":
                        raise
                    self.later.append(user_id)
                    await self._tell(self.done)
            if len(self.later) < len(waiting):
                pause_s, free_at = 0.05, time.monotonic()
            elif time.monotonic() - free_at > self.parts.give_up_s:
                raise _users_busy(self.later)
            else:
                await asyncio.sleep(pause_s * random.uniform(0.5, 1.0))
                pause_s = min(pause_s * 2, _MAX_PAUSE_S)

    async def _mend(self, user_ids: Sequence[str], *, wait: bool) -> None:
        async def work(connection: AsyncConnection) -> Mended:
            actor = self.request.actor
            return await backfills.mend(connection, user_ids, self.unpaid, actor, wait=wait)

        try:
            mended = await self.parts.database.write(work, Purpose.AUDIT)
        except (Unavailable, ResourceExhausted) as error:
            if wait or error.reason != "ROW_BUSY":
                raise
            self.later += user_ids
            return
        self.parts.on_commit()
        self.parts.credit_log.write(
            [Recorded({}, replayed=False, credited=tuple(mended.credited))], [request_id()]
        )
        again = mended.busy | mended.repair.awaited
        self.later += sorted(again)
        users = len(user_ids) - len(again)
        await self._tell(self.done.after(users, mended.repair, mended.completions))
        if mended.change_id:
            with suppress(Unavailable, ResourceExhausted):
                await self.parts.publisher.position_of(mended.change_id, _NUMBERED_S)

    async def _tell(self, done: Backfilled) -> None:
        """Everything about `done`, in as many messages as its updates need."""
        for start in range(0, max(len(done.updates), 1), MESSAGE_SIZE):
            await self.write(replace(done, updates=done.updates[start : start + MESSAGE_SIZE]))
        self.done = replace(done, updates=())

    def _check_draining(self) -> None:
        if self.parts.publisher.draining.is_set():
            raise Unavailable("DRAINING", "This server is shutting down; run it again.")


_NOTHING = Repair((), (), (), frozenset())


def _groups(repair: Repair, most_users: int) -> Iterator[list[str]]:
    """Whom to mend together."""
    wrong = Counter(one.mismatch.user_id for one in repair.standings)
    group: list[str] = []
    for user_id in repair.user_ids:
        corrections = sum(wrong[one] for one in (*group, user_id))
        if group and (len(group) == most_users or corrections > _MOST_CORRECTIONS):
            yield group
            group = []
        group.append(user_id)
    if group:
        yield group


def _users_busy(user_ids: Sequence[str]) -> Unavailable:
    return Unavailable(
        "USERS_BUSY",
        f"Others hold {len(user_ids)} users; all the rest is done. Run it again.",
        metadata={"user_id": user_ids[0], "users": str(len(user_ids))},
    )
