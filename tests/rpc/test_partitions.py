"""The number of parts that boards are split into is a setting: changing it is a rebuild."""

from contextlib import AsyncExitStack

import pytest
from prometheus_client import REGISTRY

from tests.leaderboard_app import (
    REDIS,
    Client,
    check_board,
    connected,
    eventually,
    fill,
    live_client,
    running,
)
from tests.leaderboard_peer import Peer, serve
from tests.ports import free_port


async def _has_parts(client: Client, parts: int) -> None:
    async def there() -> bool:
        return (await client.status()).partitions == parts

    await eventually(there)


@pytest.mark.parametrize(("before", "after"), [(1, 4), (4, 1), (4, 16)])
async def test_another_number_of_parts_is_a_rebuild_that_nobody_notices(
    redis_url: str, before: int, after: int
) -> None:
    peer = Peer()
    await fill(peer)
    async with live_client(redis_url, peer, partitions=before) as client:
        assert (await client.status()).partitions == before
    async with AsyncExitStack() as stack:
        target = await stack.enter_async_context(serve(peer))
        app = await stack.enter_async_context(running(redis_url, target, partitions=after))
        client = await stack.enter_async_context(connected(app, peer))
        await client.live()
        await check_board(client, source=REDIS)
        await _has_parts(client, after)
        await check_board(client, source=REDIS)
        await peer.credit("a", 7)
        await client.live()
        await check_board(client, source=REDIS)


async def test_boards_get_their_parts_also_when_progress_service_comes_late(
    redis_url: str,
) -> None:
    peer = Peer()
    await fill(peer)
    async with live_client(redis_url, peer):
        pass
    address = f"127.0.0.1:{free_port()}"
    failed = _failed_rebuilds()
    async with running(redis_url, address, partitions=4) as app, connected(app, peer) as client:
        await _knows_boards(client, failed)
        await check_board(client, source=REDIS)
        async with serve(peer, address):
            await _has_parts(client, 4)
            await check_board(client, source=REDIS)


def _failed_rebuilds() -> float:
    return REGISTRY.get_sample_value("laurel_rebuilds_total", {"outcome": "failed"}) or 0


async def _knows_boards(client: Client, failed_before: float) -> None:
    """Waits until the boards of before are read, and the first rebuild has failed."""

    async def there() -> bool:
        return (await client.status()).partitions == 1

    await eventually(there)

    async def failed() -> bool:
        return _failed_rebuilds() > failed_before

    await eventually(failed)


async def test_services_with_different_settings_do_not_rebuild_for_ever(redis_url: str) -> None:
    peer = Peer()
    await fill(peer)
    async with AsyncExitStack() as stack:
        target = await stack.enter_async_context(serve(peer))
        one = await stack.enter_async_context(running(redis_url, target, partitions=1))
        first = await stack.enter_async_context(connected(one, peer))
        await first.live()
        other = await stack.enter_async_context(running(redis_url, target, partitions=3))
        second = await stack.enter_async_context(connected(other, peer))
        for number in range(100):
            await peer.credit("a", 1 + number)
            await first.live()
            await second.live()
        # One that the first began with, and each its own way once at most.
        assert peer.snapshots <= 3
