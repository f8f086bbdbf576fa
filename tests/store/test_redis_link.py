"""Calls to Redis through a link."""

import asyncio

from leaderboard_service.store.client import RedisLink


async def test_many_first_calls_at_once_find_their_servers_of_a_cluster(
    redis_cluster_url: str,
) -> None:
    link = RedisLink(redis_cluster_url, connections=1, timeout_s=5)
    try:
        for _ in range(3):
            calls = (link.call(link.client.hset(f"k{n}", "f", n)) for n in range(40))
            await asyncio.gather(*calls)
            found = await asyncio.gather(
                *(link.call(link.client.hmget(f"k{n}", ["f"])) for n in range(40))
            )
            assert found == [[str(number)] for number in range(40)]
            await link.client.aclose()
    finally:
        await link.close()
