"""Where an import's items go: into the database, or into a dry run."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from sqlalchemy.ext.asyncio import AsyncConnection

from progress_service.committer import count
from progress_service.credit_log import CreditLog
from progress_service.domain.active_day import ActiveDay
from progress_service.domain.course import Course
from progress_service.domain.user import User
from progress_service.import_batch import Stored
from progress_service.store import active_days, admin_actions, course_edits, learner_read
from progress_service.store.admin_actions import AdminAction
from progress_service.store.course_edits import Editor
from progress_service.store.database import Database, Purpose
from progress_service.store.dry_run import DryRun
from progress_service.store.group_writer import GroupWriter, Item, failure_of
from progress_service.store.not_found import user_not_found
from progress_service.store.outcomes import Command, Outcome, Recorded
from progress_service.store.recorder import Recorder, user_busy
from progress_service.store.users import Profiles
from shared.caller import actor, request_id
from shared.errors import LaurelError, ResourceExhausted, Unavailable

_METHOD = "laurel.progress.v1.ProgressAdminService/ImportProgress"


class Writer(Protocol):
    """Takes items, and says of each what became of it, in their order; raises LaurelError for
    what is no item's fault. `depth`: how many batches may be under way.
    """

    depth: int

    async def put_users(self, users: Sequence[User]) -> list[Stored]:
        """Creates or replaces profiles; of two with one id the later one counts."""

    async def put_courses(self, courses: Sequence[Course]) -> list[Stored]:
        """Stores each definition as its course's next version, in their order."""

    async def record(self, commands: Sequence[Command]) -> list[Outcome]:
        """The outcome of each command; all of them of different users."""

    async def add_days(self, days: Sequence[ActiveDay]) -> list[Stored]:
        """Marks days as active."""


class Committing:
    """Commits the users of a batch together, then each course by itself, then each round of
    commands, then the active days. A process that dies in between leaves what it has committed;
    all of it comes out the same when the batch is sent again. That there is an import is on
    record, in a transaction of its own, before the first that writes anything.
    """

    depth = 2

    def __init__(
        self,
        database: Database,
        recorder: Recorder,
        profiles: Profiles,
        credit_log: CreditLog,
        on_commit: Callable[[], None],
    ) -> None:
        self._database = database
        self._profiles = profiles
        self._credit_log = credit_log
        self._on_commit = on_commit
        self._opening = asyncio.Lock()
        self._opened = False
        purpose = Purpose.IMPORT
        self._users: GroupWriter[User, None] = GroupWriter(database, self._put_users, purpose)
        self._days: GroupWriter[ActiveDay, None] = GroupWriter(database, self._add_days, purpose)
        self._commands: GroupWriter[Command, Recorded] = GroupWriter(
            database, recorder.record, purpose
        )

    async def put_users(self, users: Sequence[User]) -> list[Stored]:
        await self._open()
        latest = {one.user_id: one for one in users}
        stored = dict(zip(latest, await self._users.write([*latest.values()]), strict=True))
        self._on_commit()
        return [stored[one.user_id] for one in users]

    async def put_courses(self, courses: Sequence[Course]) -> list[Stored]:
        await self._open()
        return [await self._put_course(course) for course in courses]

    async def record(self, commands: Sequence[Command]) -> list[Outcome]:
        await self._open()
        outcomes = await self._commands.write(commands)
        self._on_commit()
        self._credit_log.write(outcomes, [request_id()] * len(outcomes))
        for command, outcome in zip(commands, outcomes, strict=True):
            count(command, outcome)
        return outcomes

    async def add_days(self, days: Sequence[ActiveDay]) -> list[Stored]:
        await self._open()
        return await self._days.write(days)

    async def _open(self) -> None:
        async def work(connection: AsyncConnection) -> None:
            await admin_actions.record(connection, [AdminAction(_METHOD, actor(), "", "begun")])

        # Two batches may be under way.
        async with self._opening:
            if not self._opened:
                await self._database.write(work, Purpose.IMPORT)
                self._opened = True

    async def _put_users(
        self, connection: AsyncConnection, users: Sequence[User], *, skip_held: bool = False
    ) -> list[Stored]:
        held = await _held(connection, users) if skip_held else frozenset()
        await self._profiles.put(connection, [one for one in users if one.user_id not in held])
        return [user_busy(one.user_id) if one.user_id in held else None for one in users]

    async def _add_days(
        self, connection: AsyncConnection, days: Sequence[ActiveDay], *, skip_held: bool = False
    ) -> list[Stored]:
        held = await _held(connection, days) if skip_held else frozenset()
        free = [one for one in days if one.user_id not in held]
        known = await learner_read.lock_users(connection, [one.user_id for one in free])
        good = [one for one in free if one.user_id in known]
        await active_days.add(connection, good)
        outcomes: list[Stored] = []
        for one in days:
            refusal = user_busy if one.user_id in held else user_not_found
            outcomes.append(None if one.user_id in known else refusal(one.user_id))
        return outcomes

    async def _put_course(self, course: Course) -> Stored:
        editor = Editor(_METHOD, actor())

        async def work(connection: AsyncConnection) -> None:
            await course_edits.put_course(connection, course, editor)

        try:
            await self._database.write(work, Purpose.IMPORT)
        except LaurelError as error:
            if is_of_item(error):
                return error
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, the other courses go on
            return failure_of(error)
        return None


@dataclass
class Trying:
    """Reads and judges; each kind, and each round, from a snapshot of its own."""

    database: Database
    dry_run: DryRun
    depth: int = 1

    async def put_users(self, users: Sequence[User]) -> list[Stored]:
        async with self.database.read(Purpose.IMPORT) as connection:
            return await self.dry_run.put_users(connection, users)

    async def put_courses(self, courses: Sequence[Course]) -> list[Stored]:
        return [await self._put_course(course) for course in courses]

    async def record(self, commands: Sequence[Command]) -> list[Outcome]:
        async with self.database.read(Purpose.IMPORT) as connection:
            return await self.dry_run.record(connection, commands)

    async def add_days(self, days: Sequence[ActiveDay]) -> list[Stored]:
        async with self.database.read(Purpose.IMPORT) as connection:
            return await self.dry_run.add_days(connection, days)

    async def _put_course(self, course: Course) -> Stored:
        try:
            async with self.database.read(Purpose.IMPORT) as connection:
                await self.dry_run.put_course(connection, course)
        except LaurelError as error:
            if is_of_item(error):
                return error
            raise
        return None


def is_of_item(error: LaurelError) -> bool:
    """Whether an error is about the one item that was written; the others go on then."""
    if isinstance(error, Unavailable):
        return error.reason == "ROW_BUSY"
    return not isinstance(error, ResourceExhausted)


async def _held(connection: AsyncConnection, items: Sequence[Item]) -> frozenset[str]:
    """Locks those users that nobody else holds; those that another transaction does."""
    user_ids = [one.user_id for one in items]
    locked = await learner_read.lock_free_users(connection, user_ids)
    others = [one for one in user_ids if one not in locked]
    return frozenset(await learner_read.read_users(connection, others) if others else ())
