"""A Redis that loses what it held, or holds what it held once."""

import asyncio
from contextlib import suppress
from itertools import count
from random import Random

from redis.exceptions import RedisError

from leaderboard_service.store.keys import GENERATION, Generation
from tests.faults.faults.fault import Fault, Kind
from tests.faults.hops import LEADERBOARD_REDIS
from tests.faults.redis_server import RedisServer
from tests.faults.stack import Stack
from tests.faults.waiting import until

_CONCERNS = frozenset({"redis"})
_PRESSURE = "harness:pressure:"
_KEY_BYTES = 5_000
_PRESSURE_S = 0.05
_MOST_STILL_S = 2.0


class Flush(Fault):
    """FLUSHALL."""

    async def begin(self, stack: Stack) -> None:
        self.target = "redis"
        held = await stack.redis.client.dbsize()
        await stack.redis.client.flushall()
        self.effect = f"{held} keys gone" if held else ""


class OldDump(Fault):
    """Another server that holds what was dumped some time ago."""

    _old = ""

    async def prepare(self, stack: Stack) -> None:
        self._old = await _position(stack.redis)
        await stack.redis.dump_to(stack.folder / "old.rdb")

    async def begin(self, stack: Stack) -> None:
        self.target = "redis"
        self.effect = await _moved(stack.redis, self._old)
        await stack.redis.restore(stack.folder / "old.rdb")


class StaleReplica(Fault):
    """A replica that ceased to follow some time ago takes the place of the server."""

    _replica: RedisServer | None = None
    _old = ""

    async def prepare(self, stack: Stack) -> None:
        self._replica = stack.new_redis(follows=stack.redis)
        await self._replica.start()
        await self._replica.promote()
        self._old = await _position(self._replica)

    async def begin(self, stack: Stack) -> None:
        assert self._replica is not None
        self.target = "redis"
        self.effect = await _moved(stack.redis, self._old)
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
        self._evicted = 0

    async def begin(self, stack: Stack) -> None:
        client = stack.redis.client
        policy = self.chance.choice(("allkeys-random", "allkeys-lru"))
        used = int((await client.info("memory"))["used_memory"])
        most = used + self.chance.choice((-200_000, -20_000, 50_000))
        self.target = f"redis {policy} {most - used:+d} bytes"
        self._evicted = await _evicted(stack.redis)
        await client.config_set("maxmemory-policy", policy)
        await client.config_set("maxmemory", most)
        self._pressing = asyncio.create_task(self._press(stack.redis))

    async def heal(self, stack: Stack) -> None:
        if self._pressing is not None:
            self._pressing.cancel()
        client = stack.redis.client
        evicted = await _evicted(stack.redis) - self._evicted
        self.effect = f"{evicted} keys evicted" if evicted > 0 else ""
        await client.config_set("maxmemory", 0)
        await client.config_set("maxmemory-policy", "noeviction")
        await client.unlink(*(f"{_PRESSURE}{number}" for number in range(self._pressed + 1)))

    async def _press(self, redis: RedisServer) -> None:
        for number in count():
            self._pressed = number
            with suppress(RedisError):  # full for these writes too
                await redis.client.set(f"{_PRESSURE}{number}", "x" * _KEY_BYTES)
            await asyncio.sleep(_PRESSURE_S)


async def _position(redis: RedisServer) -> str:
    """Up to where the boards are that are read: generation, epoch and sequence; "" without any."""
    generation = await redis.client.get(GENERATION)
    if generation is None:
        return ""
    meta = await redis.client.hmget(Generation(generation).parts[0].meta, "epoch", "sequence")
    return f"{generation} {meta}"


async def _moved(redis: RedisServer, old: str) -> str:
    """What there is to see of boards that go back from here to `old`, which may take a while to
    differ; "" when they do not move, as without writers.
    """

    async def differs() -> bool:
        return await _position(redis) != old

    with suppress(TimeoutError):
        await until(differs, "the boards move on", _MOST_STILL_S)
        return f"back to {old}"
    return ""


async def _evicted(redis: RedisServer) -> int:
    return int((await redis.client.info("stats"))["evicted_keys"])


KINDS = [
    Kind("redis.flush", _CONCERNS, Flush),
    Kind("redis.old_dump", _CONCERNS, OldDump),
    Kind("redis.stale_replica", _CONCERNS, StaleReplica),
    Kind("redis.evict", _CONCERNS, Evict),
]
