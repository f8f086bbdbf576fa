"""PostgreSQL, Redis and both services as four processes, started and stopped one by one.

The services are forked from a process that has imported them, which takes most of a start's time,
and done nothing else; then each runs its `main`.
"""

import asyncio
import multiprocessing
import os
import signal
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from enum import Enum
from importlib import import_module
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any, Self

from grpc import StatusCode, aio
from grpc_health.v1 import health_pb2, health_pb2_grpc

from shared.embedded.postgres import EmbeddedPostgres
from shared.embedded.redis import EmbeddedRedis
from shared.gen.laurel.leaderboard.v1 import leaderboard_pb2
from shared.gen.laurel.leaderboard.v1.leaderboard_pb2_grpc import LeaderboardServiceStub
from shared.gen.laurel.progress.v1 import admin_pb2, catalog_pb2, progress_pb2
from shared.gen.laurel.progress.v1.admin_pb2_grpc import ProgressAdminServiceStub
from shared.gen.laurel.progress.v1.catalog_pb2_grpc import CatalogServiceStub
from shared.gen.laurel.progress.v1.progress_pb2_grpc import ProgressServiceStub
from shared.status import error_from_rpc
from tests.access import AUTH_SECRET, dial
from tests.ports import free_ports
from tests.progress import award
from tests.signing import SECRET

USERS = ("ann", "bob", "cid")
CALL_S = 5.0
ENDED_S = 10.0
# A test waits for what is up again, not for the next attempt of a channel.
SOON = [
    ("grpc.initial_reconnect_backoff_ms", 20),
    ("grpc.min_reconnect_backoff_ms", 20),
    ("grpc.max_reconnect_backoff_ms", 100),
]


class Part(Enum):
    """One of the four."""

    POSTGRESQL = "P"
    REDIS = "R"
    PROGRESS = "progress_service"
    LEADERBOARD = "leaderboard_service"


SERVICES = (Part.PROGRESS, Part.LEADERBOARD)


_forks = multiprocessing.get_context("forkserver")
_forks.set_forkserver_preload(["pytest", *(f"{part.value}.__main__" for part in SERVICES)])


def _serve(module: str, settings: dict[str, str], log: str) -> None:
    """The whole life of a service's process."""
    output = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.dup2(output, 1)
    os.dup2(output, 2)
    for name in [name for name in os.environ if name.startswith("LAUREL_")]:
        del os.environ[name]
    os.environ.update({f"LAUREL_{name.upper()}": value for name, value in settings.items()})
    import_module(f"{module}.__main__").main()


@dataclass
class FourProcesses:
    """In a folder of their own; as a context, all are stopped at its end."""

    folder: Path
    persist: bool
    """Whether what Redis holds survives it."""
    expected: dict[str, int] = field(default_factory=dict)
    """The total of each user, as acknowledged."""

    def __post_init__(self) -> None:
        self.postgres = EmbeddedPostgres(self.folder / "postgres", fast=True)
        self.redis = EmbeddedRedis(self.folder / "redis", persist=self.persist)
        self._ports = dict(zip(SERVICES, map(str, free_ports(2)), strict=True))
        self._running: dict[Part, ForkServerProcess] = {}
        self._channels: dict[Part, aio.Channel] = {}
        self._settings: dict[str, str] = {}
        self._exit = AsyncExitStack()

    async def __aenter__(self) -> Self:
        """With users of one XP each, who are on no board yet; nothing runs."""
        self.folder.mkdir()
        for store in (self.postgres, self.redis):
            await asyncio.to_thread(store.start)
        self._settings = {
            "postgres_url": self.postgres.url(),
            "redis_url": self.redis.url(),
            "progress_port": self._ports[Part.PROGRESS],
            "leaderboard_port": self._ports[Part.LEADERBOARD],
            "metrics_port": "0",
            "drain_seconds": "1",
            "token_secret": SECRET,
            "auth_secret": AUTH_SECRET,
        }
        for part in SERVICES:
            target = f"127.0.0.1:{self._ports[part]}"
            channel = dial(target, SOON)
            self._channels[part] = await self._exit.enter_async_context(channel)
        await self.start(Part.PROGRESS)
        for user in USERS:
            await self._introduce(user)
            await self.award(user, 1)
        await until(self._is_numbered, 20, "the awards are numbered")
        await self.stop(Part.PROGRESS, kill=True)
        for store in (self.postgres, self.redis):
            await asyncio.to_thread(store.stop)
        return self

    async def __aexit__(self, *_: object) -> None:
        for process in self._running.values():
            process.kill()
            await self._ended(process)
        await self._exit.aclose()
        for store in (self.postgres, self.redis):
            await asyncio.to_thread(store.stop)

    async def start(self, part: Part) -> None:
        """Starts one, and returns when it can be spoken to."""
        if part in SERVICES:
            log = str(self.folder / f"{part.value}.log")
            process = _forks.Process(
                target=_serve, args=(part.value, self._settings, log), daemon=True
            )
            await asyncio.to_thread(process.start)
            self._running[part] = process
            await until(lambda: self._answers(part), 20, f"{part.name} listens")
        else:
            store = self.postgres if part is Part.POSTGRESQL else self.redis
            await asyncio.to_thread(store.start)

    async def stop(self, part: Part, *, kill: bool) -> None:
        """Ends one: with SIGTERM, after which a service has exit status 0, or with SIGKILL."""
        if part in SERVICES:
            process = self._running.pop(part)
            (process.kill if kill else process.terminate)()
            assert await self._ended(process) == (-signal.SIGKILL if kill else 0), part
        else:
            store = self.postgres if part is Part.POSTGRESQL else self.redis
            await asyncio.to_thread(store.kill if kill else store.stop)

    async def _ended(self, process: ForkServerProcess) -> int | None:
        """The exit status, negative for a signal."""
        await asyncio.to_thread(process.join, ENDED_S)
        status = process.exitcode
        assert status is not None, "the process does not end"
        process.close()
        return status

    def check_running(self) -> None:
        """No service has ended by itself."""
        for part, process in self._running.items():
            assert process.is_alive(), f"{part.name} ended: {process.exitcode}"

    async def check_answers(self) -> None:
        """Whatever services run answer right, or with a typed error that says when it is safe to
        ask again; and if they say that they are well, there is an answer.
        """
        self.check_running()
        if Part.PROGRESS in self._running:
            await self._typed(self.totals())
        if Part.LEADERBOARD in self._running:
            top = await self._typed(self.top())
            if top is not None:
                assert scores(top) == self.expected

    async def _typed(self, answer: Awaitable[Any]) -> Any:
        try:
            return await answer
        except aio.AioRpcError as error:
            refused = error
        typed = error_from_rpc(refused)
        assert refused.code() is StatusCode.UNAVAILABLE, typed.message
        assert typed.reason != refused.code().name, f"not typed: {typed.message}"
        return None

    async def _introduce(self, user: str) -> None:
        stub = CatalogServiceStub(self._channels[Part.PROGRESS])
        profile = catalog_pb2.User(user_id=user, display_name=user)
        request = catalog_pb2.PutUserRequest(user=profile)

        async def is_known() -> bool:
            return await self._typed(stub.PutUser(request, timeout=CALL_S)) is not None

        await until(is_known, 20, "the user is known")

    async def award(self, user: str, amount: int) -> None:
        """Credits XP, once, as often as that has to be tried; every refusal is typed."""
        stub = ProgressServiceStub(self._channels[Part.PROGRESS])
        request = award(user, amount)

        async def acknowledged() -> bool:
            return await self._typed(stub.AwardXp(request, timeout=CALL_S)) is not None

        await until(acknowledged, 20, "the award is acknowledged")
        self.expected[user] = self.expected.get(user, 0) + amount

    async def _is_numbered(self) -> bool:
        stub = ProgressAdminServiceStub(self._channels[Part.PROGRESS])
        request = admin_pb2.GetStatusRequest()
        status = await self._typed(stub.GetStatus(request, timeout=CALL_S))
        return status is not None and not status.unnumbered_changes

    async def totals(self) -> progress_pb2.GetUserStatsResponse:
        """Of one of the users."""
        stub = ProgressServiceStub(self._channels[Part.PROGRESS])
        request = progress_pb2.GetUserStatsRequest(user_id=USERS[0])
        return await stub.GetUserStats(request, timeout=CALL_S)

    async def top(self) -> leaderboard_pb2.GetTopResponse:
        """The board of all."""
        stub = LeaderboardServiceStub(self._channels[Part.LEADERBOARD])
        return await stub.GetTop(leaderboard_pb2.GetTopRequest(), timeout=CALL_S)

    async def is_right(self) -> bool:
        """Whether the board comes from Redis and holds all that was acknowledged, and both
        services say that they serve.
        """
        self.check_running()
        top = await self._typed(self.top())
        if top is None or top.state.source != leaderboard_pb2.SOURCE_REDIS:
            return False
        serving = health_pb2.HealthCheckResponse.SERVING
        return scores(top) == self.expected and {await self.health(part) for part in SERVICES} == {
            serving
        }

    async def health(self, part: Part) -> int:
        """What a service says of itself."""
        stub = health_pb2_grpc.HealthStub(self._channels[part])
        return int((await stub.Check(health_pb2.HealthCheckRequest(), timeout=CALL_S)).status)

    async def _answers(self, part: Part) -> bool:
        self.check_running()
        try:
            await self.health(part)
        except aio.AioRpcError:
            return False
        return True


def scores(top: leaderboard_pb2.GetTopResponse) -> dict[str, int]:
    return {entry.user_id: entry.score for entry in top.entries}


async def until(condition: Callable[[], Awaitable[bool]], within_s: float, what: str) -> float:
    """Waits for the condition; fails with `what` after the time. How long it took."""
    began = time.monotonic()
    while not await condition():
        assert time.monotonic() - began < within_s, f"not within {within_s} s: {what}"
        await asyncio.sleep(0.02)
    return time.monotonic() - began
