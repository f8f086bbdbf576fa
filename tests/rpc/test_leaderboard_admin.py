"""Administration: status, rebuilds beside the boards that are read, clearing."""

import asyncio
from typing import Any

from shared.gen.laurel.leaderboard.v1 import admin_pb2
from shared.gen.laurel.leaderboard.v1 import leaderboard_pb2 as pb
from tests.leaderboard_app import REDIS, check_board, direct, eventually, fill, live_client
from tests.leaderboard_peer import Peer


async def test_status_tells_what_the_service_does(redis_url: str) -> None:
    peer = Peer()
    await fill(peer)
    async with live_client(redis_url, peer) as client:
        await peer.credit("a", 5)
        await client.live()
        await check_board(client, source=REDIS)
        status = await client.status()
        assert status.head_sequence == status.applied.sequence == len(peer.changes)
        assert status.HasField("lag")
        assert status.boards == 5
        assert status.redis_memory_bytes > 0
        assert (status.answers_from_redis, status.answers_from_postgresql) == (1, 0)
        assert status.HasField("last_rebuild_time")
        assert status.HasField("start_time")
        assert status.version


async def test_a_rebuild_on_request_goes_beside_the_boards_and_ends_complete(
    redis_url: str,
) -> None:
    peer = Peer()
    await fill(peer)
    async with live_client(redis_url, peer) as client, direct(redis_url) as redis:
        before = str(await redis.get("laurel:generation"))
        messages = [
            message
            async for message in client.admin.RebuildBoards(admin_pb2.RebuildBoardsRequest())
        ]
        assert [message.complete for message in messages] == [False] * (len(messages) - 1) + [True]
        assert messages[-1].standings_loaded == 30
        assert messages[-1].position == peer.position
        assert await redis.get("laurel:generation") != before
        await check_board(client, source=REDIS)
        await client.live()

        async def dropped() -> bool:
            return not await redis.keys(f"laurel:{{0}}:{before}:*")

        await eventually(dropped)


async def test_a_stream_that_is_cut_does_not_stop_the_rebuild(redis_url: str) -> None:
    peer = Peer()
    await fill(peer)
    async with live_client(redis_url, peer) as client, direct(redis_url) as redis:
        before = str(await redis.get("laurel:generation"))
        held, goes_on = asyncio.Event(), asyncio.Event()

        async def wait() -> None:
            held.set()
            await goes_on.wait()

        peer.during_snapshot = wait
        cut: Any = client.admin.RebuildBoards(admin_pb2.RebuildBoardsRequest())
        assert not (await cut.read()).complete
        cut.cancel()
        follows = aiter(client.admin.RebuildBoards(admin_pb2.RebuildBoardsRequest()))
        assert not (await anext(follows)).complete
        await held.wait()
        snapshots = peer.snapshots
        goes_on.set()
        last = [message async for message in follows][-1]
        assert last.complete
        assert last.standings_loaded == 30
        assert peer.snapshots == snapshots
        assert await redis.get("laurel:generation") != before
        await check_board(client, source=REDIS)


async def test_new_boards_are_not_behind_those_that_they_replace(redis_url: str) -> None:
    peer = Peer()
    await fill(peer)
    async with live_client(redis_url, peer) as client:

        async def meanwhile() -> None:
            for _ in range(25):
                await peer.credit("a", 3)
            await client.live_at(len(peer.changes))

        peer.during_snapshot = meanwhile
        behind = 0
        sequence = len(peer.changes)
        async for message in client.admin.RebuildBoards(admin_pb2.RebuildBoardsRequest()):
            top = await client.boards.GetTop(pb.GetTopRequest())
            behind += top.state.position.sequence < sequence
            sequence = top.state.position.sequence
            if message.complete:
                assert message.position.sequence == len(peer.changes)
        assert behind == 0
        await check_board(client, source=REDIS)


async def test_clearing_the_cache_deletes_every_key_and_the_boards_come_back(
    redis_url: str,
) -> None:
    peer = Peer()
    await fill(peer)
    async with live_client(redis_url, peer) as client, direct(redis_url) as redis:
        await redis.set("foreign", 1)
        answer = await client.admin.ClearCache(admin_pb2.ClearCacheRequest())
        # Five boards, profiles, meta, and the pointer.
        assert answer.keys_deleted == 8
        await check_board(client)
        await client.live()
        await check_board(client, source=REDIS)
        assert await redis.get("foreign") == "1"
