"""Watchers of a history that many open transactions write to."""

import asyncio
import random
from contextlib import suppress

import asyncpg

from progress_service.settings import ProgressSettings
from shared.gen.laurel.progress.v1 import progress_pb2 as pb
from shared.gen.laurel.types.v1 import types_pb2
from tests.conftest import running_progress
from tests.progress import Progress

CHANGES = 20_000

USERS = [f"u{n}" for n in range(40)]

AWARDED = [f"a{n}" for n in range(10)]

AWARDS = 400

_INSERT = """
    INSERT INTO unnumbered_changes (kind, user_id, entry_id, metric, amount, source, course_id,
                                    occurred_time, occurred_date, windows)
    SELECT 1, $1, n, 'xp', 1, 'test', '', now(), '2026-11-20', 2
    FROM generate_series($2::bigint, $3::bigint) n
"""


def first_entry(user_id: str) -> int:
    """The ids of a user's entries begin here: beyond those that the ledger gives."""
    return 1_000_000 * (1 + USERS.index(user_id))


class Writers:
    """Transactions of every length that insert changes, each user's in the order of its entries.

    `committed` grows as they commit, so that one can stay open until others have gone by.
    """

    def __init__(self, progress: Progress, seed: int) -> None:
        self._progress = progress
        self._random = random.Random(seed)
        # Each user's profile is a change too.
        self._left = CHANGES - AWARDS - len(USERS) - len(AWARDED)
        self._next_entry = {user_id: first_entry(user_id) for user_id in USERS}
        self._committed = 0
        self._moved = asyncio.Condition()

    async def run(self, count: int) -> None:
        async with asyncio.TaskGroup() as tasks:
            for _ in range(count):
                tasks.create_task(self._write())
            for user_id in AWARDED:
                tasks.create_task(self._award(user_id))

    async def _award(self, user_id: str) -> None:
        for _ in range(AWARDS // len(AWARDED)):
            await self._progress.award(user_id, 1)

    async def _write(self) -> None:
        async with self._progress.sql() as sql:
            while self._left:
                count = min(self._left, self._random.choice([1, 1, 5, 20, 60, 90]))
                self._left -= count
                await self._transaction(sql, count)

    async def _transaction(self, sql: asyncpg.Connection, count: int) -> None:
        user_id = self._random.choice(USERS)
        # How many other transactions commit while this one stays open.
        stays = self._random.choice([0, 0, 0, 0, 1, 3, 15])
        async with sql.transaction():
            await sql.execute("SELECT FROM users WHERE user_id = $1 FOR NO KEY UPDATE", user_id)
            part = self._random.randint(0, count)
            for inserted in (part, count - part):
                first = self._next_entry[user_id]
                self._next_entry[user_id] += inserted
                await sql.execute(_INSERT, user_id, first, first + inserted - 1)
                await self._others_commit(stays)
        async with self._moved:
            self._committed += 1
            self._moved.notify_all()

    async def _others_commit(self, count: int) -> None:
        """Until so many more have committed, or this one holds everybody up."""
        goal = self._committed + count
        with suppress(TimeoutError):
            async with asyncio.timeout(0.1), self._moved:
                await self._moved.wait_for(lambda: self._committed >= goal or not self._left)


async def resuming_watcher(progress: Progress, seed: int) -> list[pb.Change]:
    """The first 20,000 changes, by a watcher that goes away at random and comes back."""
    chance = random.Random(seed)
    seen: list[pb.Change] = []
    last = types_pb2.Position()
    resumes = 0
    while len(seen) < CHANGES:
        call = progress.progress.WatchXpDeltas(pb.WatchXpDeltasRequest(after=last))
        messages = chance.randint(1, 5)
        async for message in call:
            seen += message.changes
            last.CopyFrom(message.through)
            messages -= 1
            if not messages or len(seen) >= CHANGES:
                break
        call.cancel()
        resumes += 1
    assert resumes >= 4
    return seen


async def test_a_watcher_that_resumes_sees_20000_changes_of_open_transactions_each_once_in_order(
    postgres_url: str,
) -> None:
    settings = ProgressSettings(
        postgres_url=postgres_url, drain_seconds=0.5, checkpoint_seconds=0.05
    )
    async with running_progress(settings) as progress:
        await progress.put_users(*USERS, *AWARDED)
        watchers = [asyncio.create_task(resuming_watcher(progress, seed)) for seed in (1, 2)]
        await Writers(progress, seed=3).run(12)
        one, other = await asyncio.gather(*watchers)
        assert [change.sequence for change in one] == list(range(1, CHANGES + 1))
        assert one == other
        entries = entries_of(one)
        assert sum(map(len, entries.values())) == CHANGES - len(USERS) - len(AWARDED)
        for user_id in USERS:
            first = first_entry(user_id)
            assert entries[user_id] == list(range(first, first + len(entries[user_id])))
        for user_id in AWARDED:
            assert entries[user_id] == sorted({*entries[user_id]})
            assert len(entries[user_id]) == AWARDS // len(AWARDED)
        # The fold has counted what the watchers saw.
        ranked = {user_id: score for _, user_id, score in await progress.top()}
        assert ranked == {user_id: len(found) for user_id, found in entries.items()}


def entries_of(changes: list[pb.Change]) -> dict[str, list[int]]:
    """Each user's entries in the order of the changes, all of them after the profile."""
    entries: dict[str, list[int]] = {}
    for change in changes:
        if change.HasField("xp_delta"):
            entries[change.xp_delta.user_id].append(int(change.xp_delta.entry_id))
        else:
            entries[change.profile_change.user_id] = []
    return entries
