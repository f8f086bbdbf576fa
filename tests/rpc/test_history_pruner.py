"""The pruner at work in a service, and watchers of the history that it prunes."""

import asyncio
from collections.abc import Awaitable
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest
from grpc import aio
from prometheus_client import REGISTRY

from progress_service.settings import ProgressSettings
from shared.errors import OutOfRange
from shared.gen.laurel.leaderboard.v1.admin_pb2 import (
    GetStatusRequest as LeaderboardStatusRequest,
)
from shared.gen.laurel.progress.v1 import admin_pb2
from shared.gen.laurel.progress.v1 import progress_pb2 as pb
from shared.gen.laurel.types.v1 import types_pb2
from tests.conftest import running_progress
from tests.history_fold import check
from tests.leaderboard_app import dial, running
from tests.pair import Pair, running_pair
from tests.pair_acts import Crowd
from tests.progress import Progress, eventually, level, refused, waits_for_lock
from tests.pruned import NO_AGE, prune

PRUNER_LOCK = 0x4C61_7572_656C_0004


def settings(postgres_url: str, **given: Any) -> ProgressSettings:
    return ProgressSettings(postgres_url=postgres_url, drain_seconds=0.5, **given)


def sequencer_failures() -> float:
    return REGISTRY.get_sample_value("laurel_sequencer_failures_total") or 0.0


async def oldest(progress: Progress) -> int:
    return (await progress.admin.GetStatus(admin_pb2.GetStatusRequest())).oldest_sequence


async def answered(call: Awaitable[None]) -> bool:
    """Whether it was, as it is not while connections are cut."""
    with suppress(aio.AioRpcError):
        await call
        return True
    return False


async def pruned_to(progress: Progress, keep_changes: int) -> None:
    async def at_bound() -> bool:
        head = await progress.settled()
        return await oldest(progress) == max(head.sequence - keep_changes, 0) + 1

    await eventually(at_bound, f"all but {keep_changes} changes are pruned")


async def test_a_service_prunes_what_it_need_not_keep_and_says_what_it_keeps(
    postgres_url: str,
) -> None:
    bound = {"history_keep": NO_AGE, "history_keep_changes": 10}
    async with running_progress(settings(postgres_url, **bound)) as progress:
        assert await oldest(progress) == 1
        await progress.put_users(*(f"u{n}" for n in range(30)))
        await pruned_to(progress, 10)
        assert await oldest(progress) == 21
        await progress.award("u3", 7)
        await pruned_to(progress, 10)
        assert await oldest(progress) == 22
        assert await progress.top() == [(1, "u3", 7)]


@pytest.mark.parametrize(
    "kept",
    [
        {},
        {"history_keep": timedelta(), "history_keep_changes": 0},
        {"history_keep": timedelta(hours=1), "history_keep_changes": 0},
        {"history_keep": NO_AGE, "history_keep_changes": 30},
    ],
    ids=["by default", "for ever", "an hour", "the newest"],
)
async def test_a_service_keeps_what_it_was_told_to(postgres_url: str, kept: dict[str, Any]) -> None:
    async with running_progress(settings(postgres_url, **kept)) as progress:
        pruner = progress.app.history_pruner
        await progress.put_users(*(f"u{n}" for n in range(30)))
        await progress.settled()
        for _ in range(3):
            assert (await pruner.prune_once()).count == 0
        assert await oldest(progress) == 1
        assert (await check(progress)).sequence == 30


async def test_a_pruner_that_loses_its_database_goes_on_when_it_is_back(
    postgres_url: str,
) -> None:
    bound = {"history_keep": NO_AGE, "history_keep_changes": 0}
    async with running_progress(settings(postgres_url, **bound)) as progress:
        for n in range(4):
            async with progress.sql() as sql:
                await sql.execute(
                    """SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                       WHERE datname = current_database() AND pid <> pg_backend_pid()"""
                )

            await eventually(lambda n=n: answered(progress.put_users(f"u{n}")), "it is written")  # type: ignore[misc]
        await eventually(lambda: answered(pruned_to(progress, 0)), "everything is pruned")


async def test_a_watcher_that_stalls_until_its_place_is_pruned_gets_the_typed_error(
    progress: Progress,
) -> None:
    """More than connections hold on the way: 40 MB."""
    async with progress.sql() as sql:
        await sql.execute(
            """INSERT INTO unnumbered_changes (kind, user_id, display_name, avatar_url, hidden)
               SELECT 2, 'u' || n, '', repeat('x', 2000), false FROM generate_series(1, 20000) n"""
        )
    head = await progress.settled()
    assert head.sequence == 20_000
    call: Any = progress.progress.WatchXpDeltas(pb.WatchXpDeltasRequest())
    seen = [one.sequence for one in (await call.read()).changes]
    await prune(progress, keep_changes=5)
    async with refused(OutOfRange, "HISTORY_TRUNCATED") as errors:
        while message := await call.read():
            seen += [one.sequence for one in message.changes]
    assert seen == list(range(1, len(seen) + 1))
    assert 1_000 <= len(seen) < 19_995
    assert errors[0].metadata["sequence"] == str(len(seen))
    # As of when it was told, which may be in the middle of it.
    assert len(seen) + 1 < int(errors[0].metadata["oldest_sequence"]) <= 19_996
    resumed = types_pb2.Position(epoch=head.epoch, sequence=19_995)
    call = progress.progress.WatchXpDeltas(pb.WatchXpDeltasRequest(after=resumed))
    assert [one.sequence for one in (await call.read()).changes] == list(range(19_996, 20_001))
    call.cancel()


async def test_a_watcher_at_the_head_is_not_disturbed_when_everything_is_pruned(
    progress: Progress,
) -> None:
    await progress.put_users("ann", "bob")
    head = await progress.settled()
    call: Any = progress.progress.WatchXpDeltas(pb.WatchXpDeltasRequest(after=head))
    assert (await call.read()).through == head
    assert await prune(progress) == 2
    await progress.award("ann", 7)
    async with asyncio.timeout(20):
        while not (message := await call.read()).changes:
            pass
    assert [one.sequence for one in message.changes] == [3]
    call.cancel()


async def test_boards_that_were_left_behind_are_rebuilt_and_agree(
    redis_url: str, progress: Progress
) -> None:
    await progress.put_course("c", level("l1"), level("l2"))
    await progress.put_course("d", level("l3"))
    crowd = Crowd(progress, seed=7)
    await crowd.act(30)
    async with running_pair(redis_url, progress) as pair:
        await pair.settled()
        built = await last_rebuild(pair)
        assert await prune(progress) > 0
        await crowd.act(5)
        await pair.agree(*crowd.users)
        assert await last_rebuild(pair) == built, "who keeps up needs nothing that is pruned"
    await crowd.act(30)
    await prune(progress, keep_changes=3)
    async with running(redis_url, progress.target) as app, dial(app) as channel:
        again = Pair(channel, progress)
        await again.settled()
        assert await last_rebuild(again) > 0
        assert await again.agree(*crowd.users) > 0


async def last_rebuild(pair: Pair) -> int:
    """When, in nanoseconds; 0: not since the start."""
    status = await pair.admin.GetStatus(LeaderboardStatusRequest())
    return int(status.last_rebuild_time.ToNanoseconds())


async def test_boards_follow_a_history_of_which_hardly_anything_is_kept(
    redis_url: str, postgres_url: str
) -> None:
    """A follower that is late is refused and rebuilds, again and again; in the end it agrees."""
    bound = {"history_keep": NO_AGE, "history_keep_changes": 3}
    async with running_progress(settings(postgres_url, **bound)) as progress:
        await progress.put_course("c", level("l1"), level("l2"))
        await progress.put_course("d", level("l3"))
        crowd = Crowd(progress, seed=8)
        async with running_pair(redis_url, progress) as pair:
            await crowd.act(150)
            await pair.agree(*crowd.users)
            await pruned_to(progress, 3)


async def test_an_erasure_waits_until_a_batch_is_pruned_and_takes_part_in_no_deadlock(
    progress: Progress,
) -> None:
    await progress.put_users("ann")
    await progress.award("ann", 7)
    await progress.settled()
    async with progress.sql() as sql:
        async with sql.transaction():
            await sql.execute("SELECT pg_advisory_xact_lock($1)", PRUNER_LOCK)
            erasing = asyncio.ensure_future(progress.erase("ann"))
            await waits_for_lock(progress)
            # In the order in which an erasure would not take them.
            await sql.execute("DELETE FROM changes WHERE sequence = 2")
            await sql.execute("DELETE FROM changes WHERE sequence = 1")
        assert (await erasing).sequence == 3
        assert await sql.fetchval("SELECT array_agg(kind) FROM changes") == [3]


async def test_the_sequencer_waits_for_a_slow_batch_of_a_pruner_and_does_not_fail(
    progress: Progress,
) -> None:
    """Longer than for any other lock: 2 s."""
    await progress.put_users("ann")
    await progress.settled()
    failures = sequencer_failures()
    async with progress.sql() as sql:
        async with sql.transaction():
            await sql.execute("SELECT pg_advisory_xact_lock($1)", PRUNER_LOCK)
            erasing = asyncio.ensure_future(progress.erase("ann"))
            await waits_for_lock(progress)
            await sql.execute("SELECT pg_sleep(2.5)")
        assert (await erasing).sequence == 2
    assert sequencer_failures() == failures
