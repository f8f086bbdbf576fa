"""A history that was put back to an earlier point refuses what is not of it."""

from pathlib import Path
from typing import Any

import asyncpg

from shared.errors import FailedPrecondition
from shared.gen.laurel.progress.v1 import progress_pb2 as pb
from shared.gen.laurel.types.v1 import types_pb2
from tests.conftest import running_progress
from tests.migration_doc import blocks
from tests.progress import Progress, level, refused
from tests.tenures import base_copy, restore, sharing, tenures


async def test_a_database_restored_to_the_past_refuses_what_it_no_longer_holds(
    postgres_url: str,
) -> None:
    async with running_progress(sharing(postgres_url)) as progress:
        await progress.put_users("ann")
        backup_head = await progress.settled()
        async with progress.sql() as sql:
            copy = await base_copy(sql)
        await progress.award("ann", 1)
        lost = await progress.settled()
    async with running_progress(sharing(postgres_url)) as progress, progress.sql() as sql:
        await progress.award("ann", 2)
        later = await progress.settled()
    async with running_progress(sharing(postgres_url)) as progress:
        async with progress.sql() as sql, progress.numbering_held():
            await restore(sql, copy)
        await progress.award("ann", 3)
        now = await progress.settled()
        assert now.epoch not in {backup_head.epoch, lost.epoch, later.epoch}
        for position in (lost, later):
            async with refused(FailedPrecondition, "EPOCH_MISMATCH"):
                await progress.progress.WatchXpDeltas(
                    pb.WatchXpDeltasRequest(after=position)
                ).read()
        call: Any = progress.progress.WatchXpDeltas(pb.WatchXpDeltasRequest(after=backup_head))
        assert [change.xp_delta.amount for change in (await call.read()).changes] == [3]
        call.cancel()


async def test_what_came_with_redactions_is_no_position_of_a_copy_from_before_the_erasure(
    progress: Progress,
) -> None:
    await progress.put_users("ann", "bob")
    await progress.award("ann", 1)
    behind = await progress.settled()
    await progress.award("ann", 2)
    copied = await progress.settled()
    async with progress.sql() as sql, progress.numbering_held():
        copy = await base_copy(sql)
    erased = await progress.erase("ann")
    await progress.award("bob", 3)
    last = await progress.settled()
    # The tenure of the erasure goes on after it, and whoever has the old one can go on, too.
    assert copied.epoch == behind.epoch != erased.epoch == last.epoch
    assert await tenures(progress) == [(copied.epoch, 0), (erased.epoch, copied.sequence)]
    call: Any = progress.progress.WatchXpDeltas(pb.WatchXpDeltasRequest(after=behind))
    message = await call.read()
    call.cancel()
    assert message.changes[0].WhichOneof("kind") == "redaction"
    met = types_pb2.Position(epoch=message.through.epoch, sequence=copied.sequence)
    assert met.epoch == erased.epoch
    async with progress.sql() as sql, progress.numbering_held():
        await restore(sql, copy)
        async with refused(FailedPrecondition, "EPOCH_MISMATCH"):
            await progress.progress.WatchXpDeltas(pb.WatchXpDeltasRequest(after=met)).read()
        call = progress.progress.WatchXpDeltas(pb.WatchXpDeltasRequest(after=behind))
        assert await call.read()
        call.cancel()


async def test_ids_can_be_moved_on_after_a_restore(progress: Progress) -> None:
    """By the statement of docs/architecture.md."""
    document = Path(__file__).resolve().parents[2] / "docs" / "architecture.md"
    (statement,) = blocks("sql", document.read_text(encoding="utf-8"))
    await progress.put_users("ann")
    await progress.put_course("c", level("l"))
    await progress.award("ann", 1)
    await progress.settled()
    async with progress.sql() as sql:
        await sql.execute(statement)
    award, attempt = await progress.award("ann", 2), await progress.submit("ann", "l")
    await progress.reset("r", window=types_pb2.WINDOW_YEAR, period="2019")
    assert min(int(award.entry_id), int(attempt.attempt_id)) > 100_000_000
    assert await progress.top() == [(1, "ann", 53)]
    async with progress.sql() as sql:
        newest = await sql.fetchval("SELECT max(change_id) FROM changes")
        acts = await sql.fetchval("SELECT max(action_id) FROM admin_actions")
    assert min(newest, acts) > 100_000_000


async def test_an_erasure_that_a_new_holder_numbers_first_begins_one_tenure(
    postgres_url: str,
) -> None:
    async with running_progress(sharing(postgres_url)) as progress:
        await progress.put_users("ann")
        before = await progress.settled()
    sql = await asyncpg.connect(postgres_url)
    await sql.execute("INSERT INTO unnumbered_changes (kind, user_id) VALUES (3, 'ann')")
    await sql.close()
    async with running_progress(sharing(postgres_url)) as progress:
        after = await progress.settled()
        assert await tenures(progress) == [(before.epoch, 0), (after.epoch, before.sequence)]
