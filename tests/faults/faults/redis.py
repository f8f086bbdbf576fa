"""A Redis that loses what it held, or holds what it held once."""

import asyncio
from contextlib import suppress
from itertools import count
from random import Random

from redis.exceptions import RedisError

from tests.faults.faults.fault import Fault, Kind
from tests.faults.hops import LEADERBOARD_REDIS
from tests.faults.redis_server import RedisServer
from tests.faults.stack import Stack

_CONCERNS = frozenset({"redis"})
_PRESSURE = "harness:pressure:"
_KEY_BYTES = 1_000
_PRESSURE_S = 0.05


class Flush(Fault):
    """FLUSHALL."""

    async def begin(self, stack: Stack) -> None:
        self.target = "redis"
        await stack.redis.client.flushall()


class OldDump(Fault):
    """Another server that holds what was dumped some time ago."""

    async def prepare(self, stack: Stack) -> None:
        await stack.redis.dump_to(stack.folder / "old.rdb")

    async def begin(self, stack: Stack) -> None:
        self.target = "redis"
        await stack.redis.restore(stack.folder / "old.rdb")


class StaleReplica(Fault):
    """A replica that ceased to follow some time ago takes the place of the server."""

    _replica: RedisServer | None = None

    async def prepare(self, stack: Stack) -> None:
        self._replica = stack.new_redis(follows=stack.redis)
        await self._replica.start()
        await self._replica.promote()

    async def begin(self, stack: Stack) -> None:
        assert self._replica is not None
        self.target = "redis"
        before, stack.redis = stack.redis, self._replica
        for proxy in stack.hops[LEADERBOARD_REDIS]:
            proxy.target = ("127.0.0.1", self._replica.port)
            proxy.reset()
        await before.kill()


class Evict(Fault):
    """`maxmemory` below or barely above what is held, a policy that evicts, and keys of others that
    press.
    """

    def __init__(self, chance: Random) -> None:
        super().__init__(chance)
        self._pressing: asyncio.Task[None] | None = None
        self._pressed = 0

    async def begin(self, stack: Stack) -> None:
        client = stack.redis.client
        policy = self.chance.choice(("allkeys-random", "allkeys-lru"))
        used = int((await client.info("memory"))["used_memory"])
        most = used + self.chance.choice((-200_000, -20_000, 50_000))
        self.target = f"redis {policy} {most - used:+d} bytes"
        await client.config_set("maxmemory-policy", policy)
        await client.config_set("maxmemory", most)
        self._pressing = asyncio.create_task(self._press(stack.redis))

    async def heal(self, stack: Stack) -> None:
        if self._pressing is not None:
            self._pressing.cancel()
        client = stack.redis.client
        await client.config_set("maxmemory", 0)
        await client.config_set("maxmemory-policy", "noeviction")
        await client.unlink(*(f"{_PRESSURE}{number}" for number in range(self._pressed + 1)))

    async def _press(self, redis: RedisServer) -> None:
        for number in count():
            self._pressed = number
            with suppress(RedisError):  # full for these writes too
                await redis.client.set(f"{_PRESSURE}{number}", "x" * _KEY_BYTES)
            await asyncio.sleep(_PRESSURE_S)


KINDS = [
    Kind("redis.flush", _CONCERNS, Flush),
    Kind("redis.old_dump", _CONCERNS, OldDump),
    Kind("redis.stale_replica", _CONCERNS, StaleReplica),
    Kind("redis.evict", _CONCERNS, Evict),
]
