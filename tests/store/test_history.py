"""The history: dense numbers, one tenure at a time, and nobody's order disturbed."""

import asyncio
from contextlib import AsyncExitStack, suppress
from typing import Any

import asyncpg
from grpc import aio

from progress_service.settings import ProgressSettings
from shared.errors import FailedPrecondition
from shared.gen.laurel.progress.v1 import admin_pb2
from shared.gen.laurel.progress.v1 import progress_pb2 as pb
from shared.gen.laurel.types.v1 import types_pb2
from tests.conftest import running_progress
from tests.progress import Progress, award, refused
from tests.tenures import sharing, tenures

_INSERT = """
    INSERT INTO unnumbered_changes (kind, user_id, entry_id, metric, amount, source, course_id,
                                    occurred_time, occurred_date, windows)
    SELECT 1, $1, nextval('entry_ids'), 'xp', 1, 'test', '', now(), '2026-11-20', 2
    FROM generate_series($2::bigint, $3::bigint) n
"""


async def all_changes(progress: Progress, count: int) -> list[pb.Change]:
    found: list[pb.Change] = []
    call = progress.progress.WatchXpDeltas(pb.WatchXpDeltasRequest())
    async with asyncio.timeout(20):
        async for message in call:
            found += message.changes
            if len(found) >= count:
                break
    call.cancel()
    return found


async def test_two_services_number_one_history_and_one_of_them_at_a_time(postgres_url: str) -> None:
    settings = sharing(postgres_url)
    async with running_progress(settings) as one, running_progress(settings) as other:
        await one.put_users("ann", "bob")
        await one.settled()
        (begun,) = await tenures(one)
        # The second service numbers nothing and still sends everything on.
        await asyncio.gather(
            *(service.award("ann", 2) for service in (one, other) for _ in range(42))
        )
        await other.settled()
        assert await tenures(one) == [begun]
        first, second = await asyncio.gather(all_changes(one, 86), all_changes(other, 86))
        assert [change.sequence for change in first] == list(range(1, 87))
        assert first == second


async def test_another_takes_over_when_the_holder_stops_and_old_positions_stay_valid(
    postgres_url: str,
) -> None:
    settings = sharing(postgres_url)
    async with AsyncExitStack() as first, AsyncExitStack() as second:
        one = await first.enter_async_context(running_progress(settings))
        await one.put_users("ann")
        before = await one.settled()
        other = await second.enter_async_context(running_progress(settings))
        await other.award("ann", 1)
        assert (await other.settled()).epoch == before.epoch
        await first.aclose()
        await other.award("ann", 2)
        after = await other.settled()
        assert await tenures(other) == [(before.epoch, 0), (after.epoch, 2)]
        call: Any = other.progress.WatchXpDeltas(pb.WatchXpDeltasRequest(after=before))
        message = await call.read()
        call.cancel()
        assert [change.xp_delta.amount for change in message.changes] == [1, 2]
        assert message.through == after


async def test_a_holder_that_goes_silent_keeps_the_numbering_for_its_lease_and_no_longer(
    postgres_url: str,
) -> None:
    async with running_progress(sharing(postgres_url)) as progress, progress.sql() as silent:
        await progress.put_users("ann")
        before = await progress.settled()
        async with progress.numbering_held(), progress.sql() as sql:
            # As a replica leaves it that took the numbering over and was stopped at once.
            await sql.execute(
                """UPDATE history SET holder = gen_random_uuid(), holder_pid = $1,
                       holder_start = (SELECT backend_start FROM pg_stat_activity WHERE pid = $1),
                       lease_until = clock_timestamp() + interval '0.5 s'""",
                silent.get_server_pid(),
            )
        await progress.award("ann", 1)
        async with progress.sql() as sql:
            row = await sql.fetchrow(
                "SELECT head_sequence, lease_until > clock_timestamp() AS lives FROM history"
            )
        assert row is not None
        assert row["head_sequence"] == before.sequence or not row["lives"]
        after = await progress.settled()
        assert (after.sequence, await tenures(progress)) == (
            2,
            [(before.epoch, 0), (after.epoch, 1)],
        )


async def test_a_tenure_that_ends_numbers_no_more_and_the_next_goes_on_from_there(
    postgres_url: str,
) -> None:
    epochs: list[str] = []
    for n in range(3):
        async with running_progress(sharing(postgres_url)) as progress:
            await progress.put_users(f"u{n}")
            epochs.append((await progress.settled()).epoch)
            found = await tenures(progress)
            assert found == [(epoch, k) for k, epoch in enumerate(epochs)]
            assert [one.sequence for one in await all_changes(progress, n + 1)] == list(
                range(1, n + 2)
            )
    assert len({*epochs}) == 3


async def test_a_position_beyond_the_end_of_its_tenure_is_refused(postgres_url: str) -> None:
    async with running_progress(sharing(postgres_url)) as progress:
        await progress.put_users("u0", "u1", "u2")
        old = await progress.settled()
    async with running_progress(sharing(postgres_url)) as progress:
        await progress.put_users("u3", "u4")
        new = await progress.settled()
        assert new.epoch != old.epoch
        assert (new.sequence, (await tenures(progress))[1][1]) == (5, 3)
        for epoch, sequence in ((old.epoch, 3), (old.epoch, 0), (new.epoch, 2), (new.epoch, 5)):
            after = types_pb2.Position(epoch=epoch, sequence=sequence)
            call: Any = progress.progress.WatchXpDeltas(pb.WatchXpDeltasRequest(after=after))
            assert (await call.read()).through == new
            call.cancel()
        # The old tenure never gave the number 4: whoever says so has another history.
        after = types_pb2.Position(epoch=old.epoch, sequence=4)
        async with refused(FailedPrecondition, "EPOCH_MISMATCH"):
            await progress.progress.WatchXpDeltas(pb.WatchXpDeltasRequest(after=after)).read()


async def test_a_numbering_that_cannot_run_holds_up_no_writer(progress: Progress) -> None:
    await progress.put_users("ann")
    head = await progress.settled()
    async with progress.numbering_held():
        for n in range(20):
            await progress.award("ann", n + 1)
        status = await progress.admin.GetStatus(admin_pb2.GetStatusRequest())
        assert (status.unnumbered_changes, status.head) == (20, head)
    after = await progress.settled()
    assert after.sequence == 21


async def test_a_backlog_is_numbered_in_batches_and_all_of_it(postgres_url: str) -> None:
    settings = ProgressSettings(
        postgres_url=postgres_url, drain_seconds=0.5, sequencer_batch=7, checkpoint_seconds=0.05
    )
    async with running_progress(settings) as progress:
        await progress.put_users("ann", "bob")
        async with progress.numbering_held():
            for user_id in ("ann", "bob"):
                async with progress.sql() as sql:
                    await sql.execute(_INSERT, user_id, 1, 50)
        assert (await progress.settled()).sequence == 102
        assert [one.sequence for one in await all_changes(progress, 102)] == list(range(1, 103))
        assert await progress.top() == [(1, "ann", 50), (1, "bob", 50)]


async def test_a_sequencer_cut_off_in_the_middle_loses_and_repeats_nothing(
    progress: Progress,
) -> None:
    await progress.put_users("ann")
    await progress.settled()

    async def write() -> None:
        for _ in range(60):
            with suppress(aio.AioRpcError):
                await progress.progress.AwardXp(award("ann", 1))

    async def cut(sql: asyncpg.Connection) -> None:
        """Ends whichever connection holds the numbering, again and again."""
        while not writing.done():
            await sql.execute(
                """SELECT pg_terminate_backend(pid) FROM pg_locks
                   WHERE locktype = 'advisory' AND granted AND classid = $1 AND objid = $2
                     AND database = (SELECT oid FROM pg_database
                                     WHERE datname = current_database())""",
                0x4C61_7572,
                0x656C_0002,
            )

    async with progress.sql() as sql:
        writing = asyncio.create_task(write())
        await cut(sql)
        await writing
        written = await sql.fetchval("SELECT count(*) FROM xp_entries")
    head = await progress.settled()
    assert head.sequence == written + 1
    found = await all_changes(progress, head.sequence)
    assert [one.sequence for one in found] == list(range(1, head.sequence + 1))
    assert len({one.xp_delta.entry_id for one in found[1:]}) == written
    assert await progress.top() == [(1, "ann", written)]
