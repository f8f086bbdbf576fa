"""What readers see, and what heals by itself, when a store fails or loses what it had."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import grpc
import pytest
from grpc import aio
from grpc_health.v1 import health_pb2, health_pb2_grpc
from redis.asyncio import Redis

from shared.embedded.redis import EmbeddedRedis
from shared.gen.laurel.leaderboard.v1 import admin_pb2
from shared.gen.laurel.leaderboard.v1 import leaderboard_pb2 as pb
from shared.gen.laurel.progress.v1 import progress_pb2
from shared.status import error_from_rpc
from tests.leaderboard_app import (
    POSTGRESQL,
    REDIS,
    Client,
    check_board,
    connected,
    direct,
    eventually,
    fill,
    live_client,
    running,
)
from tests.leaderboard_peer import Peer, serve


async def _from_redis(client: Client) -> None:
    async def check() -> bool:
        return await check_board(client) == REDIS

    await eventually(check)


async def _flush(redis: Redis) -> None:
    await redis.flushdb()


async def _drop(redis: Redis, pattern: str) -> None:
    names = await redis.keys(pattern)
    assert names
    await redis.delete(*names)


async def _spoil(redis: Redis, field: str, value: str | None) -> None:
    """The meta is not as any release writes it."""
    (meta,) = await redis.keys("*:meta")
    if value is None:
        await redis.hdel(meta, field)
    else:
        await redis.hset(meta, field, value)


async def _retype(redis: Redis) -> None:
    (meta,) = await redis.keys("*:meta")
    await redis.set(meta, "x")


LOSSES: dict[str, Callable[[Redis], Awaitable[None]]] = {
    "everything": _flush,
    "a board": lambda redis: _drop(redis, "*board:xp//all_time/"),
    "the meta": lambda redis: _drop(redis, "*:meta"),
    "the profiles": lambda redis: _drop(redis, "*:profiles"),
    "the pointer": lambda redis: _drop(redis, "laurel:generation"),
    "the meta's type": _retype,
    "the sequence's form": lambda redis: _spoil(redis, "sequence", "abc"),
    "the floors' form": lambda redis: _spoil(redis, "floors", "abc"),
    "the time of the position": lambda redis: _spoil(redis, "numbered_us", None),
}


@pytest.mark.parametrize("loss", list(LOSSES))
async def test_what_redis_has_lost_is_answered_from_postgresql_and_rebuilt(
    redis_url: str, loss: str
) -> None:
    peer = Peer()
    await fill(peer)
    async with live_client(redis_url, peer) as client, direct(redis_url) as redis:
        await check_board(client, source=REDIS)
        await LOSSES[loss](redis)
        before = peer.snapshots

        async def rebuilt() -> bool:
            await check_board(client)
            return peer.snapshots > before

        await eventually(rebuilt)
        await _from_redis(client)
        await peer.credit("z", 99)
        await client.live()
        await check_board(client, source=REDIS)


@pytest.mark.parametrize("reason", ["EPOCH_MISMATCH", "HISTORY_TRUNCATED"])
async def test_a_position_that_is_refused_means_a_rebuild(redis_url: str, reason: str) -> None:
    peer = Peer()
    await fill(peer)
    async with live_client(redis_url, peer):
        pass
    if reason == "EPOCH_MISMATCH":
        peer.forget_history()
    else:
        await peer.credit("z", 1)
        await peer.credit("z", 1)
        peer.first_kept = len(peer.changes)
    before = peer.snapshots
    async with live_client(redis_url, peer) as client:
        assert peer.snapshots == before + 1
        await check_board(client, source=REDIS)


async def test_a_restart_resumes_from_the_position_in_redis(redis_url: str) -> None:
    peer = Peer()
    await fill(peer)
    async with live_client(redis_url, peer):
        pass
    before = peer.snapshots
    await peer.credit("b", 5)
    async with live_client(redis_url, peer) as client:
        await check_board(client, source=REDIS)
        assert peer.snapshots == before


async def test_a_snapshot_that_is_cut_short_is_begun_anew(redis_url: str) -> None:
    peer = Peer()
    await fill(peer)
    peer.cut_snapshots = 2
    async with live_client(redis_url, peer) as client:
        assert peer.snapshots == 3
        await check_board(client, source=REDIS)


async def test_a_snapshot_may_begin_with_messages_that_hold_nothing(redis_url: str) -> None:
    peer = Peer()
    await fill(peer)
    peer.silent_messages = 5
    async with live_client(redis_url, peer) as client:
        assert peer.snapshots == 1
        await check_board(client, source=REDIS)


async def test_two_services_on_one_redis_count_each_change_once(redis_url: str) -> None:
    peer = Peer()
    await fill(peer)
    async with AsyncExitStack() as stack:
        target = await stack.enter_async_context(serve(peer))
        clients = []
        for _ in range(2):
            app = await stack.enter_async_context(running(redis_url, target))
            clients.append(await stack.enter_async_context(connected(app, peer)))
        for client in clients:
            await client.live()
        for number in range(300):
            await peer.credit("abcdef"[number % 6], 1 + number % 3)
            if number % 50 == 0:
                await asyncio.sleep(0)
            if number % 60 == 7:
                await peer.correct("xp//all_time/", "d", number)
                await peer.reset("xp//day/2026-11-20")
                await peer.erase("abc"[number // 60 % 3])
                await peer.profile("abc"[number // 60 % 3], "again")
        for client in clients:
            await client.live()
            await check_board(client, source=REDIS)
        assert peer.snapshots == 1


async def test_an_unknown_change_stops_the_boards_and_nothing_skips_it(redis_url: str) -> None:
    peer = Peer()
    await fill(peer)
    async with live_client(redis_url, peer) as client:
        held = (await client.status()).applied.sequence
        await peer.append(progress_pb2.Change())  # none of the kinds that are known here
        await peer.credit("a", 1)

        async def noticed() -> bool:
            return (await client.status()).head_sequence > held

        await eventually(noticed)
        status = await client.status()
        assert status.applied.sequence == held
        assert status.state != admin_pb2.GetStatusResponse.STATE_LIVE


async def test_progress_service_gone_leaves_the_boards_with_their_age(redis_url: str) -> None:
    peer = Peer()
    await fill(peer)
    async with live_client(redis_url, peer) as client:
        peer.down = True

        async def lost() -> bool:
            state = (await client.status()).state
            return state == admin_pb2.GetStatusResponse.STATE_PROGRESS_DOWN

        await eventually(lost)
        await check_board(client, source=REDIS)
        peer.down = False
        await peer.credit("a", 7)
        await client.live()
        await check_board(client, source=REDIS)


async def test_a_dead_redis_costs_no_answer_and_comes_back_by_itself(tmp_path: Path) -> None:
    server = EmbeddedRedis(tmp_path, persist=False)
    await asyncio.to_thread(server.start)
    peer = Peer()
    await fill(peer)
    try:
        async with live_client(server.url(), peer) as client:
            await check_board(client, source=REDIS)
            await asyncio.to_thread(server.kill)
            await check_board(client, source=POSTGRESQL)
            status = await client.status()
            assert status.state == admin_pb2.GetStatusResponse.STATE_REDIS_DOWN
            await peer.credit("a", 100)
            await check_board(client, source=POSTGRESQL)
            await asyncio.to_thread(server.start)
            await _from_redis(client)
    finally:
        await asyncio.to_thread(server.stop)


async def test_with_both_stores_down_calls_and_health_say_so(tmp_path: Path) -> None:
    server = EmbeddedRedis(tmp_path, persist=False)
    await asyncio.to_thread(server.start)
    peer = Peer()
    await fill(peer)
    try:
        async with AsyncExitStack() as stack:
            progress = AsyncExitStack()
            target = await progress.enter_async_context(serve(peer))
            app = await stack.enter_async_context(running(server.url(), target))
            client = await stack.enter_async_context(connected(app, peer))
            await client.live()
            await _health(client, health_pb2.HealthCheckResponse.SERVING)
            await progress.aclose()
            await asyncio.to_thread(server.kill)
            with pytest.raises(aio.AioRpcError) as caught:
                await client.boards.GetTop(pb.GetTopRequest(), timeout=5)
            assert caught.value.code() == grpc.StatusCode.UNAVAILABLE
            assert error_from_rpc(caught.value).reason == "BOARDS_UNAVAILABLE"
            await _health(client, health_pb2.HealthCheckResponse.NOT_SERVING)
            await stack.enter_async_context(serve(peer, target))
            await _health(client, health_pb2.HealthCheckResponse.SERVING)
            await check_board(client, source=POSTGRESQL)
    finally:
        await asyncio.to_thread(server.stop)


async def _health(client: Client, wanted: int) -> None:
    stub = health_pb2_grpc.HealthStub(client.channel)
    service = pb.DESCRIPTOR.services_by_name["LeaderboardService"].full_name

    async def check() -> bool:
        answer = await stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=5)
        return bool(answer.status == wanted)

    await eventually(check)


async def test_too_many_reads_of_postgresql_are_refused_with_a_delay(redis_url: str) -> None:
    peer = Peer()
    await fill(peer)
    peer.cut_snapshots = 10**6
    async with AsyncExitStack() as stack:
        target = await stack.enter_async_context(serve(peer))
        app = await stack.enter_async_context(running(redis_url, target, fallback_limit=1))
        client = await stack.enter_async_context(connected(app, peer))
        calls = [client.boards.GetTop(pb.GetTopRequest(), timeout=5) for _ in range(20)]
        results = await asyncio.gather(*calls, return_exceptions=True)
        refused = [error for error in results if isinstance(error, aio.AioRpcError)]
        assert {error.code() for error in refused} == {grpc.StatusCode.RESOURCE_EXHAUSTED}
        assert len(refused) < 20


async def test_a_full_redis_still_answers_and_goes_on_when_it_has_room(redis_url: str) -> None:
    peer = Peer()
    await fill(peer)
    async with live_client(redis_url, peer) as client, direct(redis_url) as redis:
        await redis.config_set("maxmemory", "1")
        held = (await client.status()).applied.sequence
        await peer.credit("a", 100)

        async def noticed() -> bool:
            return (await client.status()).head_sequence > held

        await eventually(noticed)
        top = await client.boards.GetTop(pb.GetTopRequest(page_size=1))
        assert (top.state.source, top.state.position.sequence) == (REDIS, held)
        await redis.config_set("maxmemory", "0")
        await client.live()
        await check_board(client, source=REDIS)
