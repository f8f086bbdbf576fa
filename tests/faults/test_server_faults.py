"""Each fault of a process, on a real stack: what it does is seen, and over when it is healed."""

import time
from datetime import timedelta
from pathlib import Path
from random import Random

import asyncpg
import psutil
import pytest
from grpc import StatusCode, aio

from shared.gen.laurel.leaderboard.v1 import leaderboard_pb2
from shared.gen.laurel.progress.v1 import progress_pb2 as pb
from shared.gen.laurel.types.v1 import types_pb2
from tests.faults.effects import Least, Most, holding
from tests.faults.faults import FAULTS
from tests.faults.plan import Plan
from tests.faults.scene import USER, Scene, scene
from tests.faults.schedule import make_plan
from tests.faults.waiting import until

pytestmark = pytest.mark.asyncio(loop_scope="module")

_MARK = "harness:mark"
_SOON_S = 0.5


@pytest.mark.parametrize("part", ["progress-0", "leaderboard-0", "postgres", "redis"])
async def test_what_is_killed_is_gone_until_it_is_healed(played: Scene, part: str) -> None:
    before = played.stack.pids[part]
    async with holding(f"kill.{part.removesuffix('-0')}", played) as fault:
        assert fault.target == part
        assert not psutil.pid_exists(before)
        assert part not in played.stack.pids
    assert played.stack.pids[part] != before


async def test_everything_is_killed_and_started_in_any_order(played: Scene) -> None:
    before = played.stack.pids
    async with holding("kill.all", played, Random(1)):
        assert played.stack.pids == {}
    after = played.stack.pids
    assert after.keys() == before.keys()
    assert not set(before.values()) & set(after.values())


@pytest.mark.parametrize("part", ["progress-0", "leaderboard-0", "postgres", "redis"])
async def test_what_is_frozen_stands_still_until_it_is_healed(played: Scene, part: str) -> None:
    process = psutil.Process(played.stack.pids[part])
    async with holding(f"freeze.{part.removesuffix('-0')}", played):
        family = [process, *process.children(recursive=True)]
        await until(lambda: _all_stopped(family), "all are stopped", 5)
        assert len(family) > 3 or part != "postgres"
    assert process.status() != psutil.STATUS_STOPPED


async def _all_stopped(family: list[psutil.Process]) -> bool:
    return all(one.status() == psutil.STATUS_STOPPED for one in family)


async def test_a_frozen_service_does_not_answer(played: Scene) -> None:
    async with holding("freeze.leaderboard", played):
        with pytest.raises(aio.AioRpcError) as failed:
            await played.boards.GetTop(leaderboard_pb2.GetTopRequest(), timeout=_SOON_S)
        assert failed.value.code() == StatusCode.DEADLINE_EXCEEDED


async def test_flushed_redis_is_empty(played: Scene) -> None:
    await played.stack.redis.client.set(_MARK, "before")
    async with holding("redis.flush", played):
        assert await played.stack.redis.client.get(_MARK) is None


@pytest.mark.parametrize("name", ["redis.old_dump", "redis.stale_replica"])
async def test_redis_holds_what_it_held_when_the_fault_was_prepared(
    played: Scene, name: str
) -> None:
    before = (played.stack.pids["redis"], played.stack.redis.port)
    await played.stack.redis.client.set(_MARK, "old")
    fault = FAULTS[name].make(Least())
    await fault.prepare(played.stack)
    await played.stack.redis.client.set(_MARK, "new")
    await played.board_holds((await played.award()).total)
    await fault.begin(played.stack)
    assert await played.stack.redis.client.get(_MARK) == "old"
    assert not psutil.pid_exists(before[0])
    await fault.heal(played.stack)
    await played.board_holds((await played.award()).total)
    assert played.stack.redis.port != before[1] or name == "redis.old_dump"
    # What it holds now outlives a crash as before.
    async with holding("kill.redis", played):
        pass
    assert await played.stack.redis.client.get(_MARK) == "old"


@pytest.mark.parametrize("chance", [Least(), Most()], ids=["tight", "barely"])
async def test_redis_evicts_keys_under_pressure(played: Scene, chance: Random) -> None:
    client = played.stack.redis.client

    async def evicts() -> bool:
        return bool((await client.info("stats"))["evicted_keys"] > before)

    before = (await client.info("stats"))["evicted_keys"]
    async with holding("redis.evict", played, chance):
        await until(evicts, "keys are evicted")
    assert await client.config_get("maxmemory") == {"maxmemory": "0"}
    assert await client.keys("harness:pressure:*") == []


async def test_a_restored_postgres_holds_what_it_held_when_it_was_copied(played: Scene) -> None:
    kept = await played.award()
    fault = FAULTS["postgres.restore"].make(Least())
    await fault.prepare(played.stack)
    copied_by = played.stack.elapsed()
    lost = await played.award(1_000)
    await played.board_holds(lost.total)
    await fault.begin(played.stack)
    await fault.heal(played.stack)
    (branch,) = played.stack.branches
    assert str(branch.entries[-1].entry_id) == lost.entry_id
    assert branch.changes[-1].xp_delta.entry_id == lost.entry_id
    again = await played.award(2_000)
    assert again.total == kept.total + 2_000
    await played.board_holds(again.total)
    await played.stack.finish_branch()
    _, restored = played.stack.branches
    played.stack.branches.clear()
    assert restored.copied is not None
    assert restored.copied < copied_by < branch.ended < restored.begun < restored.ended
    amounts = [entry.amount for entry in restored.entries]
    assert (amounts[-1], 1_000 in amounts) == (2_000, False)
    assert [c.sequence for c in restored.changes] == list(range(1, len(restored.changes) + 1))


async def test_a_full_disk_takes_no_more_rows(played: Scene) -> None:
    if not _can_fill_disks():
        return
    async with (
        holding("postgres.disk_full", played, Most()),
        played.stack.postgres.connection() as sql,
    ):
        with pytest.raises(asyncpg.DiskFullError):
            await sql.execute("CREATE TABLE harness.more AS SELECT generate_series(1, 100000)")


async def test_without_room_for_its_log_postgres_goes_down(played: Scene) -> None:
    if not _can_fill_disks():
        return
    async with holding("postgres.disk_full", played):

        async def is_down() -> bool:
            try:
                async with played.stack.postgres.connection():
                    return False
            except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
                return True

        await until(is_down, "PostgreSQL is down")


def _can_fill_disks() -> bool:
    """Where this process may not mount, the fault is in no plan."""
    name = "postgres.disk_full"
    planned = {one.fault for seed in range(len(FAULTS)) for one in make_plan(seed, 8.0).faults}
    assert (name in planned) == FAULTS[name].is_possible()
    return FAULTS[name].is_possible()


async def test_progress_services_clock_jumps_and_goes_back(played: Scene) -> None:
    assert abs(await _noted_at(played) - time.time()) < 60
    async with holding("clock.progress", played):
        assert await _noted_at(played) - time.time() > timedelta(minutes=2).total_seconds()
    assert abs(await _noted_at(played) - time.time()) < 60


async def _noted_at(played: Scene) -> float:
    """When the service says that an award occurs which is made now."""
    await played.award()
    request = pb.ListXpEntriesRequest(user_id=USER, page_size=1)
    (entry,) = (await played.progress.ListXpEntries(request, timeout=5)).entries
    return entry.occurred_time.seconds


async def test_leaderboard_services_clock_jumps_and_goes_back(played: Scene) -> None:
    before = await _period(played)
    async with holding("clock.leaderboard", played, Most()):
        assert await _period(played) < before
    assert await _period(played) == before


async def _period(played: Scene) -> str:
    answer = await played.top(window=types_pb2.WINDOW_MONTH)
    return answer.state.board.period


async def test_the_history_is_pruned_while_the_follower_hears_nothing(tmp_path: Path) -> None:
    kind = FAULTS["history.pruned"]
    async with scene(tmp_path, Plan(1, 8.0, settings=kind.settings)) as played:
        await played.board_holds((await played.award()).total)
        async with holding("history.pruned", played):
            for _ in range(30):
                await played.award()

            async def is_pruned() -> bool:
                async with played.stack.postgres.connection() as sql:
                    least = await sql.fetchval("SELECT min(sequence) FROM public.changes")
                return bool(least > 10)

            await until(is_pruned, "the follower's next change is pruned")


async def test_of_two_replicas_another_one_numbers(tmp_path: Path) -> None:
    kind = FAULTS["replicas"]
    plan = Plan(1, 8.0, replicas=kind.replicas, settings=kind.settings)
    async with scene(tmp_path, plan) as played:

        async def moved() -> bool:
            async with played.stack.postgres.connection() as sql:
                return bool(await sql.fetchval("SELECT count(*) FROM public.tenures") > before)

        for chance in (Least(), Most()):
            async with played.stack.postgres.connection() as sql:
                before = await sql.fetchval("SELECT count(*) FROM public.tenures")
            async with holding("replicas", played, chance):
                await until(moved, "the tenure has moved")
