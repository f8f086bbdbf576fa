"""One process builds boards at a time, and one that has lost its turn gives up."""

from shared.errors import Unavailable
from shared.gen.laurel.leaderboard.v1 import admin_pb2
from tests.leaderboard_app import REDIS, check_board, direct, fill, live_client
from tests.leaderboard_peer import Peer
from tests.progress import refused


async def test_a_builder_that_has_lost_its_lock_publishes_nothing(redis_url: str) -> None:
    peer = Peer()
    await fill(peer)
    async with live_client(redis_url, peer) as client, direct(redis_url) as redis:
        read = await redis.get("laurel:generation")

        async def lose_lock() -> None:
            assert await redis.get("laurel:rebuild")
            await redis.set("laurel:rebuild", "another", px=200)

        peer.during_snapshot = lose_lock
        async with refused(Unavailable, "REBUILD_FAILED"):
            async for _ in client.admin.RebuildBoards(admin_pb2.RebuildBoardsRequest()):
                pass
        assert await redis.get("laurel:generation") == read
        assert {str(key).split(":")[2] for key in await redis.keys("laurel:{*")} == {read}
        await check_board(client, source=REDIS)
