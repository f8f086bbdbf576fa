"""VerifyBoards beside writers, restarts and losses: nothing differs only because things go on."""

import asyncio
import random
from collections.abc import Awaitable, Callable

import pytest

from leaderboard_service import comparison
from shared.embedded.redis import EmbeddedRedis
from shared.errors import Unavailable
from shared.gen.laurel.leaderboard.v1 import admin_pb2 as pb
from tests.board_damage import hand
from tests.leaderboard_app import Client, live_client
from tests.leaderboard_peer import Peer
from tests.leaderboard_world import Writer
from tests.progress import refused
from tests.verify_boards import ALL_TIME, STANDINGS, TODAY, boards_are_right, scene, verify

BOARDS = [ALL_TIME, f"xp//day/{TODAY}", "xp/c/all_time/", "xp//year/2020"]
NEVER_RESET = [f"xp//month/{TODAY[:7]}", f"xp//year/{TODAY[:4]}"]


async def write(client: Client, seed: int, stopped: asyncio.Event) -> None:
    """Everything that a history may hold, about a few users who come and go; no further ahead of
    Redis than a busy service is.
    """
    chance = random.Random(seed)
    writer = Writer(client.peer)
    users = [f"u{number}" for number in range(12)]
    while not stopped.is_set():
        user, board = chance.choice(users), chance.choice(BOARDS)
        match chance.randrange(16):
            case 0:
                await writer.erase(user)
            case 1:
                await writer.reset(board)
            case 2:
                await writer.correct(user, board, chance.randint(0, 9))
            case 3 | 4 | 5:
                await writer.profile(user, hidden=chance.random() < 0.5)
            case 6 | 7:
                await writer.revoke(chance.randrange(99))
            case _:
                day = chance.choice([TODAY, TODAY, "2020-05-05"])
                await writer.credit(user, chance.randint(1, 9), day, chance.choice(["", "c"]))
        await asyncio.sleep(0.004)
        if len(client.peer.changes) % 16 == 0:
            await client.live_at(len(client.peer.changes) - 16)


@pytest.mark.parametrize("parts", [1, 4])
async def test_writers_at_work_raise_no_false_alarm(redis_url: str, parts: int) -> None:
    peer = Peer()
    await scene(peer)
    async with live_client(redis_url, peer, partitions=parts) as client:
        stopped = asyncio.Event()
        moved = 0
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(write(client, parts, stopped))
            for number in range(4):
                found = await verify(client.admin, repair=number % 2 == 1)
                assert found.mismatches == []
                moved += found.messages[0].position != found.last.position
            stopped.set()
        assert moved
        await boards_are_right(client)
        assert (await verify(client.admin)).mismatches == []


@pytest.mark.parametrize("parts", [1, 4])
async def test_damage_beside_writers_is_mended_and_nothing_else_is_touched(
    redis_url: str, parts: int
) -> None:
    peer = Peer()
    await scene(peer)
    async with live_client(redis_url, peer, partitions=parts) as client, hand(redis_url) as spoiler:
        stopped = asyncio.Event()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(write(client, parts, stopped))
            for number in range(3):
                spoiled = [(board, f"crowd-{number}") for board in NEVER_RESET]
                for board, user in spoiled:
                    await spoiler.put(board, user, 9_000_000)
                    await peer.credit(user, 5, occurred_date=TODAY)
                found = await verify(client.admin, repair=True)
                assert sorted(one[:2] for one in found.mismatches) == spoiled
                assert found.last.repaired == len(spoiled)
            stopped.set()
        await client.live()
        assert (await verify(client.admin)).mismatches == []
        await boards_are_right(client)


async def within_group(client: Client, act: Callable[[], Awaitable[None]]) -> None:
    """Has `act` done after the position of the group's snapshot is fixed: the first snapshot of a
    verification only counts.
    """

    async def first() -> None:
        client.peer.during_snapshot = act

    client.peer.during_snapshot = first


async def test_a_progress_service_that_restarts_meanwhile_is_waited_for(redis_url: str) -> None:
    peer = Peer()
    await scene(peer)
    async with live_client(redis_url, peer) as client:

        async def restart() -> None:
            # Redis goes on, so that the changes are needed, and then nobody tells them for a while.
            await peer.credit("a", 5, occurred_date=TODAY)
            await client.live()
            peer.down = True
            peer.restart()
            tasks.append(asyncio.create_task(return_soon()))

        async def return_soon() -> None:
            while peer.refused < 3:
                await asyncio.sleep(0.01)
            peer.down = False

        tasks: list[asyncio.Task[None]] = []
        await within_group(client, restart)
        found = await verify(client.admin)
        assert tasks[0].done()
        assert found.mismatches == []
        assert found.last.position == peer.position
        assert found.last.standings_checked == STANDINGS


async def test_without_a_progress_service_the_call_is_unavailable(redis_url: str) -> None:
    peer = Peer()
    await scene(peer)
    async with live_client(redis_url, peer) as client:
        peer.cut_snapshots = 1
        async with refused(Unavailable, "PROGRESS_UNAVAILABLE"):
            await verify(client.admin)
        peer.down = True
        async with refused(Unavailable, "PROGRESS_UNAVAILABLE"):
            await verify(client.admin)


async def test_another_history_ends_the_call_and_is_no_mismatch(redis_url: str) -> None:
    peer = Peer()
    await scene(peer)
    async with live_client(redis_url, peer) as client:

        async def restore() -> None:
            await peer.credit("a", 5, occurred_date=TODAY)
            await client.live()
            peer.down = True
            while not peer.refused:
                await asyncio.sleep(0.01)
            peer.down = False
            peer.forget_history()
            await peer.credit("a", 7, occurred_date=TODAY)

        await within_group(client, restore)
        async with refused(Unavailable, "BOARDS_REBUILDING"):
            async for answer in client.admin.VerifyBoards(pb.VerifyBoardsRequest()):
                assert not answer.mismatches
        await boards_are_right(client)
        assert (await verify(client.admin)).mismatches == []


async def test_a_redis_that_is_emptied_or_stops_ends_the_call(
    redis_server: EmbeddedRedis,
) -> None:
    peer = Peer()
    await scene(peer)
    redis_url = redis_server.url()
    async with live_client(redis_url, peer) as client, hand(redis_url) as spoiler:

        async def empty() -> None:
            await spoiler.redis.flushall()

        await within_group(client, empty)
        async with refused(Unavailable, "BOARDS_REBUILDING"):
            await verify(client.admin)
        await boards_are_right(client)

        async def stop() -> None:
            await asyncio.to_thread(redis_server.stop)

        await within_group(client, stop)
        async with refused(Unavailable, "REDIS_UNAVAILABLE"):
            await verify(client.admin)
        async with refused(Unavailable, "REDIS_UNAVAILABLE"):
            await verify(client.admin)
        await asyncio.to_thread(redis_server.start)
        await boards_are_right(client)
        assert (await verify(client.admin)).mismatches == []


async def test_boards_that_stay_behind_end_the_call(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    peer = Peer()
    await scene(peer)
    async with live_client(redis_url, peer) as client:
        peer.silent = True
        await peer.credit("a", 5, occurred_date=TODAY)
        monkeypatch.setattr(comparison, "_PATIENCE_S", 0.2)
        async with refused(Unavailable, "BOARDS_BEHIND"):
            await verify(client.admin)
        monkeypatch.undo()
        waiting = asyncio.create_task(verify(client.admin))
        before = peer.snapshots
        while peer.snapshots < before + 2:
            await asyncio.sleep(0.01)
        peer.silent = False
        assert (await waiting).mismatches == []
