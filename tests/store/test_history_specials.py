"""Changes that are numbered alone: resets, erasures, mended standings."""

import asyncio
import random
from contextlib import suppress
from typing import Any

import asyncpg
from grpc import aio

from progress_service.settings import ProgressSettings
from shared.gen.laurel.progress.v1 import admin_pb2
from shared.gen.laurel.progress.v1 import catalog_pb2 as catalog
from shared.gen.laurel.progress.v1 import progress_pb2 as pb
from shared.gen.laurel.types.v1 import types_pb2
from tests.conftest import running_progress
from tests.history_fold import check, watched
from tests.progress import SEQUENCER_LOCK, Progress, award, eventually

ALL_TIME = types_pb2.Board(metric="xp", window=types_pb2.WINDOW_ALL_TIME)


async def queue_correction(
    sql: asyncpg.Connection, user_id: str, score: int, board: types_pb2.Board = ALL_TIME
) -> None:
    await sql.execute(
        """INSERT INTO unnumbered_changes (kind, user_id, metric, course_id, board_window, period,
                                           amount) VALUES (6, $1, $2, $3, $4, $5, $6)""",
        user_id,
        board.metric,
        board.course_id,
        board.window,
        board.period,
        score,
    )


async def queue_reset(sql: asyncpg.Connection, board: types_pb2.Board = ALL_TIME) -> None:
    await sql.execute(
        """INSERT INTO unnumbered_changes (kind, user_id, metric, course_id, board_window, period)
           VALUES (4, '', $1, $2, $3, $4)""",
        board.metric,
        board.course_id,
        board.window,
        board.period,
    )


async def assert_buckets_are_right(progress: Progress) -> None:
    """What is counted for ranks is what a count of the standings gives."""
    async with progress.sql() as sql:
        counted = await sql.fetch(
            "SELECT board_id, bucket, users FROM board_buckets WHERE users <> 0 ORDER BY 1, 2"
        )
        expected = await sql.fetch(
            """SELECT board_id, score_bucket(score) AS bucket, count(*) AS users FROM standings
               WHERE score > 0 AND NOT hidden GROUP BY 1, 2 ORDER BY 1, 2"""
        )
    assert counted == expected


async def hide(progress: Progress, user_id: str, *, hidden: bool) -> None:
    user = catalog.User(user_id=user_id, hidden=hidden)
    await progress.catalog.PutUser(catalog.PutUserRequest(user=user))


async def test_a_backlog_keeps_its_order_and_each_special_change_is_a_batch_of_its_own(
    postgres_url: str,
) -> None:
    settings = ProgressSettings(postgres_url=postgres_url, drain_seconds=0.5, sequencer_batch=7)
    chance = random.Random(5)
    async with running_progress(settings) as progress:
        await progress.put_users("ann", "bob")
        await progress.settled()
        async with progress.numbering_held(), progress.sql() as sql:
            for n in range(150):
                kind = chance.choice(["delta"] * 6 + ["reset", "correction", "reset"])
                if kind == "delta":
                    await progress.award(chance.choice(["ann", "bob"]), n + 1)
                elif kind == "reset":
                    await queue_reset(sql)
                else:
                    await queue_correction(sql, "ann", n)
            queue = await sql.fetch("SELECT change_id FROM unnumbered_changes ORDER BY 1")
        await check(progress)
        await assert_buckets_are_right(progress)
        async with progress.sql() as sql:
            rows = await sql.fetch("SELECT change_id FROM changes ORDER BY sequence OFFSET 2")
            assert rows == queue
            batches = await sql.fetch(
                """SELECT count(*) AS count, count(*) FILTER (WHERE kind > 2) AS special
                   FROM changes GROUP BY numbered_time"""
            )
    assert all(one["count"] == 1 for one in batches if one["special"])
    assert max(one["count"] for one in batches) > 1


async def test_a_correction_sets_one_score_and_the_ranks_follow(progress: Progress) -> None:
    await progress.put_users("ann", "bob", "eve", "new")
    for user_id, amount in (("ann", 5), ("bob", 700), ("eve", 9)):
        await progress.award(user_id, amount)
    await hide(progress, "eve", hidden=True)
    course = types_pb2.Board(metric="xp", course_id="c", window=types_pb2.WINDOW_ALL_TIME)
    async with progress.sql() as sql:
        await queue_correction(sql, "ann", 2**53 - 1)
        await queue_correction(sql, "bob", 0)
        await queue_correction(sql, "eve", 800)
        await queue_correction(sql, "new", 6)
        await queue_correction(sql, "new", 7, course)
    await check(progress)
    await assert_buckets_are_right(progress)
    assert await progress.top() == [(1, "ann", 2**53 - 1), (2, "new", 6)]
    assert await progress.top(course_id="c") == [(1, "new", 7)]
    await hide(progress, "eve", hidden=False)
    assert await progress.top() == [(1, "ann", 2**53 - 1), (2, "eve", 800), (3, "new", 6)]
    await assert_buckets_are_right(progress)
    head = await progress.settled()
    changes = await watched(progress, head.sequence)
    assert changes[-2].standing_correction == pb.StandingCorrection(
        board=course, user_id="new", score=7
    )


async def test_nothing_is_mended_for_someone_who_is_not_there(progress: Progress) -> None:
    await progress.put_users("ann")
    await progress.award("ann", 5)
    await progress.settled()
    async with progress.numbering_held(), progress.sql() as sql:
        # As a verification leaves it that had looked before the erasure was written.
        erasing = asyncio.ensure_future(
            progress.admin.EraseUser(admin_pb2.EraseUserRequest(user_id="ann"))
        )

        async def erased() -> bool:
            return not await sql.fetchval("SELECT count(*) FROM users WHERE user_id = 'ann'")

        await eventually(erased, "the erasure waits for its number")
        await queue_correction(sql, "ann", 5)
    await erasing
    head = await progress.settled()
    assert (await check(progress)).counted == {}
    kinds = [one.WhichOneof("kind") for one in await watched(progress, head.sequence)]
    assert kinds == ["redaction", "redaction", "user_erasure", "redaction"]


async def tried(call: Any) -> Any:
    """Its answer; None when it failed, as it may while connections are cut."""
    with suppress(aio.AioRpcError):
        return await call
    return None


async def earn(progress: Progress, user_id: str) -> None:
    for n in range(25):
        entry = await tried(progress.progress.AwardXp(award(user_id, n + 1)))
        if entry is not None and n % 3 == 0:
            await tried(progress.revoke(entry.entry_id))


async def act(progress: Progress, *erased: str) -> None:
    for n in range(8):
        request = admin_pb2.ResetWindowRequest(board=ALL_TIME, request_id=f"q{n}")
        await tried(progress.admin.ResetWindow(request))
    for user_id in erased:
        await tried(progress.admin.EraseUser(admin_pb2.EraseUserRequest(user_id=user_id)))


async def cut_while(task: "asyncio.Task[None]", sql: asyncpg.Connection) -> int:
    """Ends the connection that holds the numbering, each time it has got somewhere."""
    cuts = 0
    head = -1
    while not task.done():
        if head == await sql.fetchval("SELECT head_sequence FROM history"):
            continue
        cut = await sql.fetchval(
            """SELECT count(pg_terminate_backend(pid)) FROM pg_locks
               WHERE locktype = 'advisory' AND granted AND classid = $1 AND objid = $2
                 AND database = (SELECT oid FROM pg_database WHERE datname = current_database())""",
            SEQUENCER_LOCK >> 32,
            SEQUENCER_LOCK & 0xFFFF_FFFF,
        )
        if cut:
            cuts += 1
            head = await sql.fetchval("SELECT head_sequence FROM history")
    return cuts


async def test_a_sequencer_cut_off_among_special_changes_loses_and_repeats_nothing(
    progress: Progress,
) -> None:
    users = [f"u{n}" for n in range(4)]
    await progress.put_users(*users)
    await progress.settled()

    async def work() -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(act(progress, *users[:2]))
            for user_id in users:
                tasks.create_task(earn(progress, user_id))

    async with progress.sql() as sql:
        assert await cut_while(asyncio.create_task(work()), sql) > 3
        await check(progress)
        await assert_buckets_are_right(progress)
        lost = """SELECT count(*) FROM xp_entries e
                  WHERE (SELECT count(*) FROM changes c WHERE c.entry_id = e.entry_id) <> 1"""
        assert await sql.fetchval(lost) == 0
