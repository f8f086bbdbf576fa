"""EraseUser among writers: each of them comes before it or finds nobody."""

import asyncio
from collections.abc import Awaitable
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from grpc import aio

from shared.errors import NotFound
from shared.gen.laurel.progress.v1 import progress_pb2 as pb
from tests.erasure_traces import traces
from tests.history_fold import check, fold, watched
from tests.progress import (
    Progress,
    award,
    eventually,
    held,
    level,
    refused,
    submission,
    waits_for_lock,
)

T = TypeVar("T")


async def test_an_erasure_waits_for_a_writer_and_counts_what_it_wrote(progress: Progress) -> None:
    await progress.put_users("ann")
    await progress.award("ann", 1)
    async with held(progress, "ann"):
        erasing = asyncio.create_task(progress.erase("ann"))
        await waits_for_lock(progress)
    await erasing
    assert (await check(progress)).counted == {}


async def test_writers_that_wait_for_an_erasure_find_no_user(progress: Progress) -> None:
    await progress.put_users("ann")
    await progress.put_course("c", level("l1", max_marks=0))
    entry = await progress.award("ann", 1)
    await progress.settled()
    async with progress.sql() as sql, sql.transaction():
        # As an erasure leaves it, just before it commits.
        await sql.execute("UPDATE users SET user_id = '~' || repeat('0', 32)")
        await sql.execute("SET LOCAL laurel.erasing = 'on'")
        await sql.execute("UPDATE xp_entries SET user_id = '~' || repeat('0', 32)")
        calls = [
            asyncio.ensure_future(call)
            for call in (progress.award("ann", 1), progress.submit("ann", "l1"))
        ]
        revoking = asyncio.ensure_future(progress.revoke(entry.entry_id))
        await waits_for_lock(progress)
    for task in calls:
        async with refused(NotFound, "USER_NOT_FOUND"):
            await task
    async with refused(NotFound, "ENTRY_NOT_FOUND"):
        await revoking
    async with progress.sql() as sql:
        assert await sql.fetchval("SELECT count(*) FROM xp_entries") == 1


async def test_while_a_person_with_many_rows_is_erased_others_go_on(progress: Progress) -> None:
    await progress.put_users("ann", "bob")
    async with progress.sql() as sql:
        await sql.execute(
            """INSERT INTO xp_entries (entry_id, user_id, metric, amount, total_after, source,
                   reference, course_id, level_id, occurred_time, occurred_date, windows, reason,
                   actor)
               SELECT nextval('entry_ids'), 'ann', 'xp', 1, n, 'test', '', '', '', now(),
                      '2026-11-20', 2, '', '' FROM generate_series(1, 20000) n"""
        )
        await sql.execute(
            """INSERT INTO unnumbered_changes (kind, user_id, entry_id, metric, amount, source,
                   course_id, occurred_time, occurred_date, windows)
               SELECT 1, user_id, entry_id, metric, amount, source, course_id, occurred_time,
                      occurred_date, windows FROM xp_entries ORDER BY entry_id"""
        )
    await progress.settled()
    erasing = asyncio.create_task(progress.erase("ann"))
    amounts = 0
    while not erasing.done():
        amounts += 1
        await progress.award("bob", 1)
    await erasing
    assert await progress.top() == [(1, "bob", amounts)]
    await check(progress)


class Crowd:
    """Everything that can be done to a few users, again and again, while they are erased."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self.unexpected: list[aio.AioRpcError] = []
        self._earned = datetime(2026, 3, 4, tzinfo=UTC)

    async def run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            for user_id in ("u0", "u1", "u2"):
                tasks.create_task(self._erase(user_id))
                for n in range(3):
                    tasks.create_task(self._learn(user_id, n))

    async def _erase(self, user_id: str) -> None:
        for _ in range(6):
            await self._try(self._progress.erase(user_id))
            await self._try(self._progress.put_users(user_id))

    async def _learn(self, user_id: str, n: int) -> None:
        rpc = self._progress.progress
        for k in range(15):
            when = self._earned + timedelta(days=7 * (k % 2))
            await self._try(rpc.SubmitProgress(submission(user_id, f"l{k % 3}", k % 11)))
            entry = await self._try(rpc.AwardXp(award(user_id, k + 1, occurred_time=when)))
            if n == 0 and entry is not None:
                await self._try(self._progress.revoke(entry.entry_id))
            elif n == 1:
                attempts = await self._try(self._progress.attempts(user_id=user_id))
                for attempt in (attempts or [])[:1]:
                    await self._try(self._progress.void(attempt.attempt_id))

    async def _try(self, call: Awaitable[T]) -> T | None:
        try:
            return await call
        except aio.AioRpcError as error:
            refusals = ("USER_NOT_FOUND", "ENTRY_NOT_FOUND", "ATTEMPT_NOT_FOUND", "No such")
            if not any(one in str(error.details()) for one in refusals):
                self.unexpected.append(error)
            return None


async def follow(progress: Progress, seen: list[pb.Change]) -> None:
    """Adds each change as it is sent."""
    async for message in progress.progress.WatchXpDeltas(pb.WatchXpDeltasRequest()):
        seen += message.changes


async def follows(seen: list[pb.Change], through: int) -> None:
    async def arrived() -> bool:
        return len(seen) >= through

    await eventually(arrived, "the watcher has everything")


async def test_erasures_among_writers_leave_nobody_half_erased(progress: Progress) -> None:
    await progress.put_users("u0", "u1", "u2")
    await progress.put_course("c", *(level(f"l{n}") for n in range(3)))
    seen: list[pb.Change] = []
    watching = asyncio.create_task(follow(progress, seen))
    crowd = Crowd(progress)
    await crowd.run()
    assert crowd.unexpected == []
    between = await check(progress)
    await follows(seen, between.sequence)
    # Whoever saw the changes as they came has the boards of whoever reads what is left of them.
    assert fold(seen).counted == between.counted
    assert fold(seen).profiles == between.profiles
    for user_id in ("u0", "u1", "u2"):
        await progress.erase(user_id)
    whole = await check(progress)
    assert whole.counted == {}
    await follows(seen, whole.sequence)
    watching.cancel()
    assert fold(seen).counted == {}
    assert set(await traces(progress, "u0", "u1", "u2")) == {"changes", "admin_actions"}
    head = await progress.settled()
    kinds = {one.WhichOneof("kind") for one in await watched(progress, head.sequence)}
    assert kinds == {"redaction", "user_erasure"}
    async with progress.sql() as sql:
        assert await sql.fetch(
            "SELECT user_id, metric, sum(amount)::bigint AS total FROM xp_entries GROUP BY 1, 2"
            " ORDER BY 1, 2"
        ) == await sql.fetch("SELECT user_id, metric, total FROM user_totals ORDER BY 1, 2")
        for table in ("attempts", "xp_entries", "level_progress", "course_progress"):
            assert not await sql.fetchval(
                f"SELECT count(*) FROM {table} t WHERE NOT EXISTS"
                " (SELECT FROM users u WHERE u.user_id = t.user_id)"
            )
