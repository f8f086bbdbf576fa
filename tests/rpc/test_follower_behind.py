"""A follower that is behind, and readers of boards that change step by step."""

import asyncio

import pytest

from shared.gen.laurel.leaderboard.v1 import leaderboard_pb2 as pb
from tests.leaderboard_app import (
    POSTGRESQL,
    REDIS,
    Client,
    check_board,
    eventually,
    fill,
    live_client,
)
from tests.leaderboard_peer import Peer


@pytest.mark.parametrize("parts", [1, 16])
async def test_a_follower_that_is_far_behind_catches_up_in_large_steps(
    redis_url: str, parts: int
) -> None:
    peer = Peer()
    peer.most_changes = 1
    await fill(peer)
    async with live_client(redis_url, peer, partitions=parts) as client:
        for number in range(3000):
            await peer.credit("abcdef"[number % 6], 1)
        await client.live()
        await check_board(client, source=REDIS)


async def test_readers_are_answered_from_redis_while_boards_in_parts_change_one_by_one(
    redis_url: str,
) -> None:
    peer = Peer()
    await fill(peer)
    async with live_client(redis_url, peer, partitions=16) as client:
        sources: list[int] = []

        async def read() -> None:
            while True:
                sources.append(await _source(client))

        readers = [asyncio.create_task(read()) for _ in range(10)]
        for number in range(200):
            await peer.correct("xp//all_time/", "a", 100 + number)
        await client.live()
        for reader in readers:
            reader.cancel()
        outcomes = await asyncio.gather(*readers, return_exceptions=True)
        assert all(isinstance(outcome, asyncio.CancelledError) for outcome in outcomes), outcomes
        assert sources.count(REDIS) > 9 * sources.count(POSTGRESQL)
        await check_board(client, source=REDIS)


async def _source(client: Client) -> int:
    return (await client.boards.GetRank(pb.GetRankRequest(user_id="a"), timeout=5)).state.source


async def test_a_follower_that_was_cut_off_for_long_rebuilds_as_soon_as_it_is_told_to(
    redis_url: str,
) -> None:
    peer = Peer()
    await fill(peer)
    async with live_client(redis_url, peer) as client:
        peer.down = True
        for _ in range(6):
            await peer.credit("a", 1)

        async def has_tried_often() -> bool:
            return peer.refused >= 6

        await eventually(has_tried_often)
        peer.first_kept = len(peer.changes)
        peer.down = False
        # One pause until the next try, and hardly any before the rebuild and before the stream.
        async with asyncio.timeout(4):
            await client.live()
        await check_board(client, source=REDIS)
