"""Readers that stop reading, and too many of them."""

import asyncio
from typing import Any
from uuid import uuid4

import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from progress_service.settings import ProgressSettings
from progress_service.store import numbering
from progress_service.store.positions import Position
from shared.errors import ResourceExhausted, Unavailable
from shared.gen.laurel.progress.v1 import progress_pb2
from shared.gen.laurel.progress.v1.progress_pb2_grpc import ProgressServiceStub
from shared.stream_write import write_within
from tests.access import dial
from tests.conftest import running_progress
from tests.crowds import crowd
from tests.progress import Progress, eventually, refused
from tests.stalls import LITTLE_ON_ITS_WAY, read_to_the_end


async def _never(_message: object) -> None:
    await asyncio.Event().wait()


async def test_a_watcher_that_takes_nothing_is_ended_and_its_place_is_free_again(
    progress: Progress,
) -> None:
    await progress.put_users("ann")
    publisher = progress.app.publisher
    publisher.stall_s = 0.05
    with pytest.raises(Unavailable) as ended:
        await publisher.watch(Position("", 0), _never)
    assert ended.value.reason == "READER_STALLED"
    assert publisher.watchers == 0


async def test_a_snapshot_reader_that_takes_nothing_is_ended() -> None:
    with pytest.raises(Unavailable) as ended:
        await write_within(_never, progress_pb2.SnapshotStandingsResponse(), 0.05)
    assert ended.value.reason == "READER_STALLED"


@pytest.mark.parametrize("messages", [0, 1])
async def test_whoever_reads_so_much_and_no_more_is_told_that_it_stalled(
    progress: Progress, messages: int
) -> None:
    await crowd(progress, 5_000, url_chars=1_500)
    publisher = progress.app.publisher
    publisher.stall_s = 0.2
    async with dial(progress.target, LITTLE_ON_ITS_WAY) as channel:
        call: Any = ProgressServiceStub(channel).WatchXpDeltas(
            progress_pb2.WatchXpDeltasRequest(), timeout=20
        )
        for _ in range(messages):
            assert (await call.read()).changes

        async def is_told() -> bool:
            return publisher.watchers == 1

        async def is_ended() -> bool:
            return publisher.watchers == 0

        await eventually(is_told, "it watches")
        await eventually(is_ended, "it is ended")
        async with refused(Unavailable, "READER_STALLED"):
            await read_to_the_end(call)


async def test_watchers_beyond_the_bound_are_refused(progress: Progress) -> None:
    progress.app.publisher.max_watchers = 1
    first = progress.progress.WatchXpDeltas(progress_pb2.WatchXpDeltasRequest())
    await first.read()
    async with refused(ResourceExhausted, "TOO_MANY_WATCHERS"):
        await progress.progress.WatchXpDeltas(progress_pb2.WatchXpDeltasRequest()).read()
    first.cancel()


async def test_a_health_watch_does_not_hold_up_the_shutdown(postgres_url: str) -> None:
    settings = ProgressSettings(postgres_url=postgres_url, drain_seconds=60)
    async with asyncio.timeout(15), running_progress(settings) as progress:
        health = health_pb2_grpc.HealthStub(progress.channel)
        watch = health.Watch(health_pb2.HealthCheckRequest())
        assert (await watch.read()).status == health_pb2.HealthCheckResponse.SERVING


async def test_a_replica_that_stands_by_takes_no_lock_and_never_interrupts_the_holder(
    progress: Progress,
) -> None:
    engine = progress.app.database.engine

    async def held() -> bool:
        async with engine.connect() as other, other.begin():
            return await numbering.is_held_by_other(other, uuid4())

    await eventually(held, "this service has the lease")
    async with engine.connect() as other, other.begin():
        await numbering.is_held_by_other(other, uuid4())
        locks = await other.exec_driver_sql(
            "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()"
        )
        assert locks.scalar_one() == 0
    async with engine.connect() as holder, holder.begin():
        await holder.exec_driver_sql(f"SELECT pg_advisory_xact_lock({numbering._LOCK_KEY})")
        async with engine.connect() as other, other.begin():
            batch = await numbering.number_batch(other, uuid4(), 10, 1.0)
            assert batch.locked
            assert not batch.held_by_other
