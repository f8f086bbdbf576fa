"""Connections to Redis, one server or a cluster, and calls with a deadline."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib import resources
from typing import Any, TypeVar

from redis.asyncio import Redis
from redis.asyncio.cluster import ClusterNode, RedisCluster
from redis.asyncio.connection import BlockingConnectionPool
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import (
    ClusterError,
    NoScriptError,
    RedisClusterException,
    RedisError,
    ResponseError,
)

from leaderboard_service import metrics
from leaderboard_service.redis_address import ClusterAddress, cluster_address

T = TypeVar("T")

_CLOSE_S = 1.0
_SCAN = 1000


class RedisUnavailable(Exception):
    """Redis did not answer in time, or not with an answer: nothing is known of the effect."""


class RedisRefused(RedisUnavailable):
    """Redis answered with an error, such as that it is full or read-only."""


class RedisLink:
    """Some connections to one Redis, used through `call`; each call has a deadline.

    Commands are never repeated by themselves: whoever calls knows whether that is safe. `use` is
    what the connections are for, in the metrics.
    """

    def __init__(self, url: str, *, connections: int, timeout_s: float, use: str = "other") -> None:
        self.timeout_s = timeout_s
        self._calls = 0
        metrics.REDIS_CONNECTIONS.labels(use).set(connections)
        metrics.REDIS_CALLS.labels(use).set_function(lambda: self._calls)
        address = cluster_address(url)
        self.client: Any = _single(url, connections) if address is None else _cluster(address, self)
        """`Redis` or `RedisCluster`; commands with one key are the same for both."""
        self._is_cluster = address is not None

    async def call(self, command: Awaitable[T], *, timeout_s: float | None = None) -> T:
        """The command's answer. Raises RedisUnavailable."""
        self._calls += 1
        try:
            async with asyncio.timeout(timeout_s or self.timeout_s):
                if self._is_cluster:
                    await self._know_slots(command)
                return await command
        except TimeoutError as error:
            raise RedisUnavailable("no answer in time") from error
        except Exception as error:
            raise _unavailable(error) from error
        finally:
            self._calls -= 1

    async def _know_slots(self, command: Awaitable[object]) -> None:
        """Before the command: a client that does not know who holds what sends it anywhere, and
        when some have been sent on by the servers it closes all connections under the others.
        """
        try:
            await self.client.initialize()
        except BaseException:
            if asyncio.iscoroutine(command):
                command.close()
            raise

    async def run(self, script: "Script", keys: Sequence[str], args: Sequence[Any]) -> Any:
        """The script's answer. Raises RedisUnavailable."""
        return await self.call(script.run(self.client, keys, args))

    async def run_all(self, runs: Sequence["Run"]) -> list[Any]:
        """The answers of scripts that may lie in different slots, sent together.

        Raises RedisUnavailable when one of them did not answer; others may have run.
        """
        if len(runs) == 1:
            run = runs[0]
            return [await self.run(run.script, run.keys, run.args)]
        return await self.call(self._run_all(runs))

    async def _run_all(self, runs: Sequence["Run"]) -> list[Any]:
        pipeline = self.client.pipeline(transaction=False)
        for run in runs:
            pipeline.execute_command(
                "EVALSHA", run.script.digest, len(run.keys), *run.keys, *run.args
            )
        answers: list[Any] = await pipeline.execute(raise_on_error=False)
        for number, answer in enumerate(answers):
            if isinstance(answer, NoScriptError):
                run = runs[number]
                answers[number] = await run.script.run(self.client, run.keys, run.args)
            elif isinstance(answer, Exception):
                raise answer
        return answers

    async def scan(self, pattern: str) -> AsyncIterator[list[str]]:
        """The names of all keys of that pattern, some at a time; some perhaps twice.

        Raises RedisUnavailable.
        """
        for node in self._primaries():
            cursor = 0
            while True:
                found = await self.call(self.client.scan(cursor, pattern, _SCAN, **node))
                cursor, names = found
                if isinstance(cursor, dict):
                    (cursor,) = cursor.values()
                yield names
                if cursor == 0:
                    break

    def _primaries(self) -> list[dict[str, Any]]:
        """The arguments that send a command to each server that holds keys."""
        if not self._is_cluster:
            return [{}]
        return [{"target_nodes": node} for node in self.client.get_primaries()]

    async def unlink(self, names: Sequence[str]) -> int:
        """Deletes keys, in whichever slots; how many there were. Raises RedisUnavailable."""
        return int(await self.call(self.client.unlink(*names))) if names else 0

    async def used_memory(self) -> int:
        """Bytes that Redis uses, by its own account. Raises RedisUnavailable."""
        used = 0
        for node in self._primaries():
            info = await self.call(self.client.info("memory", **node))
            used += int(info["used_memory"])
        return used

    async def ping(self) -> None:
        """Returns when every server that holds keys answers. Raises RedisUnavailable."""
        if self._is_cluster:
            # Who holds what may have changed: a failed call has it looked up again.
            await self.call(self.client.initialize())
        for node in self._primaries():
            await self.call(self.client.ping(**node))

    async def close(self) -> None:
        """Closes the connections; does not wait long for a server that hangs."""
        with suppress(TimeoutError, RedisError, OSError):
            async with asyncio.timeout(_CLOSE_S):
                await self.client.aclose()
                if not self._is_cluster:
                    await self.client.connection_pool.disconnect()


def _single(url: str, connections: int) -> Redis:
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
    return Redis(connection_pool=pool)


def _cluster(address: ClusterAddress, link: RedisLink) -> RedisCluster:
    # A call may first have to find out who holds what, from servers of which one may hang: so a
    # connection must be given up before the call is.
    return RedisCluster(
        startup_nodes=[ClusterNode(host, port) for host, port in address.nodes],
        max_connections=2**31,  # how many calls are made at once is our callers' concern
        decode_responses=True,
        protocol=2,
        socket_timeout=link.timeout_s,
        socket_connect_timeout=link.timeout_s / 4,
        retry=Retry(NoBackoff(), 0),
        **address.options,
    )


def _unavailable(error: Exception) -> Exception:
    """What a call raises instead of the client's own exceptions."""
    text = f"{type(error).__name__}: {error}"
    match error:
        case ClusterError() | RedisClusterException():
            return RedisUnavailable(text)
        case ResponseError():
            return RedisRefused(text)
        case RedisError() | OSError() | RuntimeError():
            # RuntimeError is the event loop's word for a connection that was just closed.
            return RedisUnavailable(text)
        case _:
            return error


class Script:
    """One of the Lua files behind those that it `shares` with others, run by its digest; sent
    whole when the server does not have it.
    """

    def __init__(self, name: str, *, shares: tuple[str, ...] = ("prelude",)) -> None:
        folder = resources.files("leaderboard_service.store") / "lua"
        files = [folder / f"{part}.lua" for part in (*shares, name)]
        self.text = "".join(file.read_text("utf-8") for file in files)
        self.digest = hashlib.sha1(self.text.encode(), usedforsecurity=False).hexdigest()

    async def run(self, client: Any, keys: Sequence[str], args: Sequence[Any]) -> Any:
        """The script's answer."""
        try:
            return await client.evalsha(self.digest, len(keys), *keys, *args)
        except NoScriptError:
            return await client.eval(self.text, len(keys), *keys, *args)


@dataclass(frozen=True, slots=True)
class Run:
    """A script with its keys, all of one slot, and its arguments."""

    script: Script
    keys: Sequence[str]
    args: Sequence[Any]
