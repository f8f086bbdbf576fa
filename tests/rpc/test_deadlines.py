"""A call whose caller has gone, or whose deadline has passed, does no more work."""

import asyncio
import os
import signal
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import grpc
import pytest
from grpc import StatusCode, aio
from prometheus_client import REGISTRY

from progress_service.store.database import Purpose, connection_budgets
from shared.gen.laurel.leaderboard.v1 import leaderboard_pb2
from shared.gen.laurel.progress.v1 import progress_pb2
from shared.gen.laurel.progress.v1.progress_pb2_grpc import ProgressServiceStub
from shared.gen.laurel.types.v1 import types_pb2
from tests.access import bearer
from tests.pair import running_pair
from tests.progress import Progress, award, eventually, held, level, submission, waits_for_lock

TOP = progress_pb2.ListStandingsRequest()


async def ends_late(call: Any) -> None:
    with pytest.raises(aio.AioRpcError) as caught:
        await call
    assert caught.value.code() is StatusCode.DEADLINE_EXCEEDED


def figure(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


def ended(method: str, code: str = "") -> float:
    """How many calls of the method have ended, of those with the code if one is given."""
    return sum(
        sample.value
        for metric in REGISTRY.collect()
        for sample in metric.samples
        if sample.name == "laurel_rpcs_total"
        and sample.labels["method"].endswith(method)
        and code in ("", sample.labels["code"])
    )


WAITING = """SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock'
    AND datname = current_database() AND application_name = 'laurel_progress'"""
IDLE = "SELECT count(*) FROM pg_stat_activity WHERE pid = ANY($1::int[]) AND state = 'idle'"


async def at_work(sql: asyncpg.Connection, count: int = 1) -> list[int]:
    """The processes of PostgreSQL that wait for a lock on the service's behalf, once there are so
    many.
    """
    found: list[int] = []

    async def so_many() -> bool:
        found[:] = [row["pid"] for row in await sql.fetch(WAITING)]
        return len(found) == count

    await eventually(so_many, f"{count} statements wait for a lock")
    return found


async def idle(sql: asyncpg.Connection, pids: list[int]) -> None:
    """Returns when each is there, runs nothing, and has no transaction open."""

    async def all_idle() -> bool:
        return bool(await sql.fetchval(IDLE, pids) == len(pids))

    await eventually(all_idle, "the connections are idle")


@asynccontextmanager
async def boards_held(postgres_url: str) -> AsyncIterator[None]:
    """Reads of boards in PostgreSQL wait for the length of the block."""
    connection = await asyncpg.connect(postgres_url)
    try:
        async with connection.transaction():
            await connection.execute("LOCK TABLE board_buckets IN ACCESS EXCLUSIVE MODE")
            yield
    finally:
        await connection.close()


async def test_a_submission_that_waits_for_its_turn_is_dropped(progress: Progress) -> None:
    await progress.put_users("ann")
    await progress.put_course("c", level("l1"))
    async with held(progress, "ann"):
        first = asyncio.ensure_future(progress.submit("ann", "l1"))
        await waits_for_lock(progress)
        await ends_late(progress.progress.SubmitProgress(submission("ann", "l1"), timeout=0.3))
    await first
    await progress.submit("ann", "l1")
    assert len(await progress.attempts(user_id="ann")) == 2
    assert REGISTRY.get_sample_value("laurel_commands_waiting") == 0


async def test_a_read_that_waits_for_a_connection_leaves(
    progress: Progress, postgres_url: str
) -> None:
    most = connection_budgets(progress.app.settings)[Purpose.READ]
    slots = progress.app.database._slots[Purpose.READ]
    async with boards_held(postgres_url):
        calls = [asyncio.ensure_future(progress.standings.ListStandings(TOP)) for _ in range(most)]

        async def all_taken() -> bool:
            return slots.in_use == most

        await eventually(all_taken, "every connection for reads is in use")
        late = [progress.standings.ListStandings(TOP, timeout=0.3) for _ in range(5)]
        await asyncio.gather(*map(ends_late, late))

        async def none_waits() -> bool:
            return slots.waiting == 0

        await eventually(none_waits, "nobody waits for a connection")
        assert slots.in_use == most
    await asyncio.gather(*calls)
    assert slots.in_use == 0


async def test_a_statement_that_runs_ends_and_its_connection_is_used_on(
    progress: Progress, postgres_url: str, sql: asyncpg.Connection
) -> None:
    opened = 0.0
    for number in range(20):
        async with boards_held(postgres_url):
            calls = [progress.standings.ListStandings(TOP) for _ in range(3)]
            waiting = [asyncio.ensure_future(call) for call in calls]
            pids = await at_work(sql, 3)
            for call in calls:
                call.cancel()
            await idle(sql, pids)
        await asyncio.wait(waiting)
        if not number:
            opened = figure("laurel_database_opened_total")
    # Of 57 calls. Some work in the background may open one meanwhile.
    assert figure("laurel_database_opened_total") <= opened + 5
    await progress.standings.ListStandings(TOP)


async def test_a_connection_whose_server_does_not_cancel_is_given_up(
    progress: Progress, postgres_url: str, sql: asyncpg.Connection
) -> None:
    slots = progress.app.database._slots[Purpose.READ]
    async with boards_held(postgres_url):
        call = progress.standings.ListStandings(TOP)
        waiting = asyncio.ensure_future(call)
        (pid,) = await at_work(sql)
        os.kill(pid, signal.SIGSTOP)
        try:
            call.cancel()
            await asyncio.wait({waiting})

            async def is_free() -> bool:
                return slots.in_use == 0

            await eventually(is_free, "the call has let its place go")
        finally:
            os.kill(pid, signal.SIGCONT)
    await progress.standings.ListStandings(TOP)


async def test_a_call_that_arrives_after_its_deadline_does_nothing(progress: Progress) -> None:
    await progress.put_users("ann")
    connected, stands_still, gone = (threading.Event() for _ in range(3))
    metadata = (("authorization", bearer()),)

    of_thread: Any = ProgressServiceStub  # typed for asyncio's channels alone

    def call() -> None:
        with grpc.insecure_channel(progress.target) as channel:
            stub = of_thread(channel)
            stub.GetUserStats(progress_pb2.GetUserStatsRequest(user_id="ann"), metadata=metadata)
            connected.set()
            stands_still.wait(20)
            with pytest.raises(grpc.RpcError):
                stub.AwardXp(award("ann", 7), metadata=metadata, timeout=0.3)
            gone.set()

    ended_before, well_before = ended("AwardXp"), ended("AwardXp", "OK")
    caller = asyncio.create_task(asyncio.to_thread(call))

    async def is_connected() -> bool:
        return connected.is_set()

    await eventually(is_connected, "the caller has a connection")
    # The service, which is in this thread, stands still until the caller has given up.
    stands_still.set()
    gone.wait(20)

    async def handed_over() -> bool:
        return ended("AwardXp") > ended_before

    await eventually(handed_over, "the call was handed over")
    await caller
    assert ended("AwardXp", "OK") == well_before
    assert await progress.entries("ann") == []


async def test_the_end_of_a_board_call_ends_the_read_in_postgresql(
    progress: Progress, redis_url: str, postgres_url: str, sql: asyncpg.Connection
) -> None:
    request = leaderboard_pb2.GetTopRequest(
        board=types_pb2.Board(window=types_pb2.WINDOW_DAY, period="2020-01-01")
    )
    async with running_pair(redis_url, progress) as pair:
        await pair.settled()
        async with boards_held(postgres_url):
            late = asyncio.create_task(ends_late(pair.boards.GetTop(request, timeout=1)))
            pids = await at_work(sql)
            await late
            await idle(sql, pids)
            call = pair.boards.GetTop(request)
            waiting = asyncio.ensure_future(call)
            pids = await at_work(sql)
            call.cancel()
            await idle(sql, pids)
            await asyncio.wait({waiting})


async def test_the_end_of_a_board_call_ends_the_wait_for_its_token(
    progress: Progress, redis_url: str
) -> None:
    await progress.put_users("ann")
    async with running_pair(redis_url, progress) as pair:
        await pair.settled()
        async with progress.numbering_held():
            token = (await progress.award("ann", 1)).consistency_token
            request = leaderboard_pb2.GetRankRequest(user_id="ann", consistency_token=token)
            call = pair.boards.GetRank(request)
            waiting = asyncio.ensure_future(call)

            async def waits() -> bool:
                return figure("laurel_token_waiters") == 1

            async def none_waits() -> bool:
                return figure("laurel_token_waiters") == 0

            await eventually(waits, "the token waits for its number")
            call.cancel()
            await eventually(none_waits, "nobody waits for the number")
            await asyncio.wait({waiting})
