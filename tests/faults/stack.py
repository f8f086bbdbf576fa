"""The real stack with a proxy on each hop, whose parts can be killed, stopped and damaged."""

import asyncio
import tempfile
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from random import Random
from typing import Protocol, Self
from urllib.parse import quote

from tests.faults import capture, freezing, hops, planted, redis_server, template
from tests.faults.guard import Guard
from tests.faults.hops import Hops
from tests.faults.plan import Plan
from tests.faults.postgres_server import PostgresServer
from tests.faults.recording import Branch
from tests.faults.redis_server import RedisServer
from tests.faults.service_process import ServiceProcess, mutation

PROGRESS = "progress_service"
LEADERBOARD = "leaderboard_service"


class Server(Protocol):
    """A process of the stack."""

    @property
    def pid(self) -> int: ...
    @property
    def running(self) -> bool: ...
    async def start(self) -> None: ...
    async def kill(self) -> None: ...


class Stack:
    """Runs from the beginning of the block, when all services are SERVING, to its end, when nothing
    of it is left but the logs in `folder`. `elapsed`: seconds since the run began.
    """

    canaries = (
        template.DATABASE,
        template.USER,
        template.PASSWORD,
        redis_server.PASSWORD,
        planted.SQL_CANARY,
        planted.REDIS_CANARY,
    )
    """Texts that no answer may contain."""

    def __init__(self, folder: Path, plan: Plan, elapsed: Callable[[], float]) -> None:
        self.elapsed = elapsed
        self.branches: list[Branch] = []
        """Lives of the database that have ended."""
        self._plan = plan
        self._logs = folder / "logs"
        self._exits = AsyncExitStack()
        self._branch = Branch(0.0)

    async def __aenter__(self) -> Self:
        await asyncio.to_thread(template.template)
        self._logs.mkdir(parents=True, exist_ok=True)
        # Of a short path, for the sockets in it.
        self.folder = Path(tempfile.mkdtemp(prefix="laurel-faults-"))
        self.folder.chmod(0o711)  # PostgreSQL runs as another user when we are root
        async with self._exits:
            self._exits.enter_context(Guard(self.folder))
            self._build()
            self._exits.push_async_callback(self._close)
            await self._start()
            self._exits = self._exits.pop_all()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._exits.aclose()

    def _build(self) -> None:
        self.postgres = PostgresServer(self.folder / "postgres", self._logs / "postgres.log")
        self.redis = self.new_redis()
        self.hops = Hops(Random(f"jitter/{self._plan.seed}"))
        self.progress: list[ServiceProcess] = []
        self.leaderboard: list[ServiceProcess] = []
        for number in range(self._plan.replicas):
            self._build_progress(number)
        for number in range(self._plan.replicas):
            self._build_leaderboard(number)

    def _build_progress(self, number: int) -> None:
        self.hops.add(hops.PROGRESS_POSTGRES, self.postgres.socket)
        address = self.hops[hops.PROGRESS_POSTGRES][number].address
        login = f"{template.USER}:{quote(template.PASSWORD)}"
        name = f"?application_name=progress-{number}"
        url = f"postgresql://{login}@{address}/{template.DATABASE}{name}"
        settings = {"LAUREL_POSTGRES_URL": url, **self._plan.settings}
        self.progress.append(self._service(PROGRESS, number, settings))
        self.hops.add(hops.CLIENT_PROGRESS, ("127.0.0.1", self.progress[number].port))

    def _build_leaderboard(self, number: int) -> None:
        self.hops.add(hops.LEADERBOARD_REDIS, ("127.0.0.1", self.redis.port))
        self.hops.add(hops.LEADERBOARD_PROGRESS, ("127.0.0.1", self.progress[number].port))
        redis = self.hops[hops.LEADERBOARD_REDIS][number].address
        settings = {
            "LAUREL_REDIS_URL": f"redis://:{redis_server.PASSWORD}@{redis}/0",
            "LAUREL_PROGRESS_ADDRESS": self.hops[hops.LEADERBOARD_PROGRESS][number].address,
        }
        self.leaderboard.append(self._service(LEADERBOARD, number, settings))
        self.hops.add(hops.CLIENT_LEADERBOARD, ("127.0.0.1", self.leaderboard[number].port))

    def _service(self, module: str, number: int, settings: dict[str, str]) -> ServiceProcess:
        name = f"{module.removesuffix('_service')}-{number}"
        settings = settings | mutation(self._plan.mutants.get(module))
        log = self._logs / f"{name}.log"
        return ServiceProcess(self.folder / name, log, module, hops.take_port(), settings)

    def new_redis(self, follows: RedisServer | None = None) -> RedisServer:
        """One more server, not started yet; it is closed with the stack."""
        port = hops.take_port()
        folder = self.folder / f"redis-{port}"
        server = RedisServer(folder, self._logs / f"redis-{port}.log", port, follows)
        self._exits.callback(hops.release_ports, [port])
        self._exits.push_async_callback(server.close)
        return server

    async def _start(self) -> None:
        services = self.progress + self.leaderboard
        await self.hops.start()
        # All at once: the services wait for their servers.
        self._branch = Branch(self.elapsed())
        await asyncio.gather(
            *(service.start() for service in services), self.postgres.create(), self.redis.start()
        )
        await asyncio.gather(*(service.wait_until_serving() for service in services))

    async def _close(self) -> None:
        services = self.progress + self.leaderboard
        await asyncio.gather(*(service.kill() for service in services), self.postgres.kill())
        await self.hops.close()
        hops.release_ports([service.port for service in services])

    @property
    def servers(self) -> dict[str, Server]:
        """The processes by name: progress-0, leaderboard-0, …, postgres, redis."""
        found: dict[str, Server] = {"postgres": self.postgres, "redis": self.redis}
        for name, services in (("progress", self.progress), ("leaderboard", self.leaderboard)):
            found |= {f"{name}-{number}": service for number, service in enumerate(services)}
        return found

    @property
    def pids(self) -> dict[str, int]:
        """The process ids of those that run."""
        return {name: server.pid for name, server in self.servers.items() if server.running}

    @property
    def deaths(self) -> list[str]:
        """Of services that have ended without having been killed: which and why."""
        for service in self.progress + self.leaderboard:
            service.notice_death()
        return [one for service in self.progress + self.leaderboard for one in service.deaths]

    @property
    def progress_targets(self) -> list[str]:
        """Where clients call ProgressService."""
        return [proxy.address for proxy in self.hops[hops.CLIENT_PROGRESS]]

    @property
    def leaderboard_targets(self) -> list[str]:
        """Where clients call LeaderboardService."""
        return [proxy.address for proxy in self.hops[hops.CLIENT_LEADERBOARD]]

    @property
    def direct_progress(self) -> list[str]:
        """The same, past the proxies."""
        return [f"127.0.0.1:{service.port}" for service in self.progress]

    @property
    def direct_leaderboard(self) -> list[str]:
        """The same, past the proxies."""
        return [f"127.0.0.1:{service.port}" for service in self.leaderboard]

    async def kill(self, name: str) -> None:
        """SIGKILL, to PostgreSQL's whole family."""
        await self.servers[name].kill()

    async def restart(self, name: str) -> None:
        """Starts it, if it does not run."""
        server = self.servers[name]
        if not server.running:
            await server.start()

    async def freeze(self, name: str) -> None:
        """SIGSTOP, to the whole family; until `thaw`."""
        await asyncio.to_thread(freezing.freeze, self.servers[name].pid)

    async def thaw(self, name: str) -> None:
        """SIGCONT."""
        if self.servers[name].running:
            await asyncio.to_thread(freezing.thaw, self.servers[name].pid)

    async def heal(self) -> None:
        """Every process runs, every proxy passes everything on, there is room on the disk, the
        clocks are right.
        """
        await self.postgres.clear_disk()
        for service in self.progress + self.leaderboard:
            service.clock.set_right()
        for name in self.servers:
            await self.thaw(name)
        await self.postgres.recover()
        for name in self.servers:
            await self.restart(name)
        await self.hops.heal()

    async def head(self) -> int:
        """The number of the last change."""
        async with self.postgres.connection() as connection:
            return int(await connection.fetchval("SELECT head_sequence FROM public.history"))

    async def finish_branch(self) -> None:
        """Adds what the database holds now to `branches`."""
        branch = self._branch
        branch.ended = self.elapsed()
        async with self.postgres.connection() as connection:
            await capture.dump(connection, branch)
        self.branches.append(branch)

    def begin_branch(self, copied: float) -> None:
        """The database begins anew, from a copy that was taken then."""
        self._branch = Branch(self.elapsed(), copied)
