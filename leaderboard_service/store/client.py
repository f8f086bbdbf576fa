"""Connections to Redis, and calls with a deadline."""

import asyncio
import hashlib
from collections.abc import Awaitable, Sequence
from contextlib import suppress
from importlib import resources
from typing import Any, TypeVar

from redis.asyncio import Redis
from redis.asyncio.connection import BlockingConnectionPool
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import NoScriptError, RedisError, ResponseError

T = TypeVar("T")

_CLOSE_S = 1.0


class RedisUnavailable(Exception):
    """Redis did not answer in time, or not with an answer: nothing is known of the effect."""


class RedisRefused(RedisUnavailable):
    """Redis answered with an error, such as that it is full or read-only."""


class RedisLink:
    """Some connections to one Redis, used through `call`; each call has a deadline.

    Commands are never repeated by themselves: whoever calls knows whether that is safe.
    """

    def __init__(self, url: str, *, connections: int, timeout_s: float) -> None:
        # The deadline is set once around each call: the client's own costs a task per write.
        pool = BlockingConnectionPool.from_url(
            url,
            max_connections=connections,
            timeout=None,
            decode_responses=True,
            protocol=2,
            socket_timeout=None,
            socket_connect_timeout=None,
            retry=Retry(NoBackoff(), 0),
        )
        self.client: Redis = Redis(connection_pool=pool)
        self.timeout_s = timeout_s

    async def call(self, command: Awaitable[T], *, timeout_s: float | None = None) -> T:
        """The command's answer. Raises RedisUnavailable."""
        try:
            async with asyncio.timeout(timeout_s or self.timeout_s):
                return await command
        except TimeoutError as error:
            raise RedisUnavailable("no answer in time") from error
        except ResponseError as error:
            raise RedisRefused(f"{type(error).__name__}: {error}") from error
        except (RedisError, OSError, RuntimeError) as error:
            # RuntimeError is the event loop's word for a connection that was just closed.
            raise RedisUnavailable(f"{type(error).__name__}: {error}") from error

    async def run(self, script: "Script", keys: Sequence[str], args: Sequence[Any]) -> Any:
        """The script's answer. Raises RedisUnavailable."""
        return await self.call(script.run(self.client, keys, args))

    async def close(self) -> None:
        """Closes the connections; does not wait long for a server that hangs."""
        with suppress(TimeoutError, RedisError, OSError):
            async with asyncio.timeout(_CLOSE_S):
                await self.client.aclose()
                await self.client.connection_pool.disconnect()


class Script:
    """One of the Lua files behind those that it `shares` with others, run by its digest; sent
    whole when the server does not have it.
    """

    def __init__(self, name: str, *, shares: tuple[str, ...] = ("prelude",)) -> None:
        folder = resources.files("leaderboard_service.store") / "lua"
        files = [folder / f"{part}.lua" for part in (*shares, name)]
        self.text = "".join(file.read_text("utf-8") for file in files)
        self.digest = hashlib.sha1(self.text.encode(), usedforsecurity=False).hexdigest()

    async def run(self, client: Redis, keys: Sequence[str], args: Sequence[Any]) -> Any:
        """The script's answer."""
        try:
            return await client.evalsha(self.digest, len(keys), *keys, *args)
        except NoScriptError:
            return await client.eval(self.text, len(keys), *keys, *args)
