"""GetUserStats while resets, erasures and revocations wait for their numbers."""

import asyncio
from collections.abc import Awaitable
from datetime import UTC, datetime
from typing import Any

from shared.gen.laurel.progress.v1 import admin_pb2
from shared.gen.laurel.types.v1 import types_pb2
from tests.progress import Progress, eventually


async def reset(progress: Progress, request_id: str, **board: Any) -> None:
    await progress.admin.ResetWindow(
        admin_pb2.ResetWindowRequest(board=types_pb2.Board(**board), request_id=request_id)
    )


async def xp(progress: Progress, user_id: str) -> tuple[int, int]:
    """All-time and today's XP."""
    (found,) = [one for one in (await progress.stats(user_id)).metrics if one.metric == "xp"]
    return found.all_time, found.day


async def queued(progress: Progress, call: Awaitable[Any], kind: int) -> "asyncio.Future[Any]":
    """The call, once its change waits for a number."""
    task = asyncio.ensure_future(call)

    async def waits() -> bool:
        async with progress.sql() as sql:
            found = "SELECT EXISTS (SELECT FROM unnumbered_changes WHERE kind = $1)"
            return bool(await sql.fetchval(found, kind))

    await eventually(waits, "the change waits for its number")
    return task


async def test_a_revocation_that_waits_spares_the_boards_that_were_reset(
    progress: Progress,
) -> None:
    await progress.put_users("ann")
    before = await progress.award("ann", 10)
    await reset(progress, "q1", window=types_pb2.WINDOW_DAY)
    since = await progress.award("ann", 3)
    await progress.settled()
    async with progress.numbering_held():
        await progress.revoke(before.entry_id)
        assert await xp(progress, "ann") == (3, 3)
        await progress.revoke(since.entry_id)
        assert await xp(progress, "ann") == (0, 0)
    await progress.settled()
    assert await xp(progress, "ann") == (0, 0)


async def test_stats_foretell_a_reset_that_waits(progress: Progress) -> None:
    await progress.put_users("ann")
    numbered = await progress.award("ann", 100)
    await progress.settled()
    async with progress.numbering_held():
        waiting = await progress.award("ann", 10)
        resetting = await queued(progress, reset(progress, "q1", window=types_pb2.WINDOW_DAY), 4)
        assert await xp(progress, "ann") == (110, 0)
        await progress.award("ann", 1)
        assert await xp(progress, "ann") == (111, 1)
        await progress.revoke(numbered.entry_id)
        await progress.revoke(waiting.entry_id)
        assert await xp(progress, "ann") == (1, 1)
    await resetting
    await progress.settled()
    assert await xp(progress, "ann") == (1, 1)


async def test_who_gets_the_id_of_an_erased_user_starts_from_nothing_at_once(
    progress: Progress,
) -> None:
    await progress.put_users("ann")
    await progress.award("ann", 100)
    await progress.settled()
    async with progress.numbering_held():
        await progress.award("ann", 10)
        request = admin_pb2.EraseUserRequest(user_id="ann")
        erasing = await queued(progress, progress.admin.EraseUser(request), 3)
        await progress.put_users("ann")
        assert await xp(progress, "ann") == (0, 0)
        await progress.award("ann", 1)
        assert await xp(progress, "ann") == (1, 1)
    await erasing
    await progress.settled()
    assert await xp(progress, "ann") == (1, 1)


async def test_a_reset_that_was_queued_first_and_committed_last_comes_after_what_has_a_number(
    progress: Progress,
) -> None:
    await progress.put_users("ann")
    async with progress.sql() as sql:
        resetting = sql.transaction()
        await resetting.start()
        await sql.execute(
            """INSERT INTO unnumbered_changes (kind, user_id, metric, course_id, board_window,
                                               period)
               VALUES (4, '', 'xp', '', 5, $1)""",
            datetime.now(UTC).date().isoformat(),
        )
        entry = await progress.award("ann", 100)
        await progress.settled()
        async with progress.numbering_held():
            await resetting.commit()
            assert await xp(progress, "ann") == (100, 0)
            await progress.revoke(entry.entry_id)
            assert await xp(progress, "ann") == (0, 0)
    await progress.settled()
    assert await xp(progress, "ann") == (0, 0)
