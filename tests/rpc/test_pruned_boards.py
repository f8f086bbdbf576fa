"""Readers of the history in LeaderboardService from whom it is pruned while they work."""

import pytest

from shared.errors import Unavailable
from shared.gen.laurel.leaderboard.v1 import admin_pb2 as pb
from tests.leaderboard_app import REDIS, Client, check_board, fill, live_client
from tests.leaderboard_peer import Peer
from tests.progress import refused
from tests.verify_boards import TODAY, verify


async def outrun(client: Client) -> None:
    """The boards that are read go on, and what they went on by is pruned."""
    for _ in range(2):
        await client.peer.credit("a", 5, occurred_date=TODAY)
    await client.live_at(len(client.peer.changes))
    client.peer.first_kept = len(client.peer.changes) + 1


async def rebuild(client: Client) -> list[pb.RebuildBoardsResponse]:
    return [one async for one in client.admin.RebuildBoards(pb.RebuildBoardsRequest(), timeout=30)]


async def test_a_rebuild_that_takes_longer_than_history_is_kept_leaves_the_old_boards(
    redis_url: str,
) -> None:
    peer = Peer()
    await fill(peer)
    async with live_client(redis_url, peer) as client:
        peer.during_snapshot = lambda: outrun(client)
        async with refused(Unavailable, "REBUILD_FAILED"):
            await rebuild(client)
        await check_board(client, source=REDIS)
        assert (await rebuild(client))[-1].complete
        await client.live()
        await check_board(client, source=REDIS)


@pytest.mark.parametrize("repair", [False, True])
async def test_a_verification_that_takes_longer_than_history_is_kept_says_so(
    redis_url: str, *, repair: bool
) -> None:
    peer = Peer()
    await fill(peer)
    async with live_client(redis_url, peer) as client:

        async def once_more() -> None:
            peer.during_snapshot = lambda: outrun(client)

        peer.during_snapshot = once_more
        async with refused(Unavailable, "HISTORY_TRUNCATED"):
            await verify(client.admin, repair=repair)
        await check_board(client, source=REDIS)
        assert (await verify(client.admin, repair=repair)).mismatches == []
