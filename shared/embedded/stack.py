"""The whole of Laurel on one machine: what `laurel up` starts, watches over and stops.

- <home>/postgres, <home>/redis: the embedded servers' data
- <home>/run: process ids and Envoy's configuration
- <home>/logs: one file for each process, bounded in size

Start: PostgreSQL, Redis, both services, the gateway; stop: the reverse. What ends by itself is
started again, after a pause that doubles up to a bound.
"""

import os
import time
from collections.abc import Callable, Sequence

from shared.embedded.envoy import EmbeddedEnvoy
from shared.embedded.errors import EmbeddedError, RefusedError
from shared.embedded.folders import FolderLock, private_folder
from shared.embedded.leftover import POLL_S
from shared.embedded.logwatch import LogWatch
from shared.embedded.pidfile import PidFile
from shared.embedded.ports import check_ports
from shared.embedded.postgres import EmbeddedPostgres
from shared.embedded.redis import EmbeddedRedis
from shared.embedded.service import Module, ModuleProcess
from shared.embedded.settings import EmbeddedSettings, reachable_host
from shared.embedded.supervisor import Supervised, Unit

SERVING_TIMEOUT_S = 60.0
TICK_S = 0.2
# Each service gets the URL of its own store alone.
STORE_URLS = ("LAUREL_POSTGRES_URL", "LAUREL_REDIS_URL")
TRIM_EVERY_S = 5.0


class Stack:
    """PostgreSQL, Redis, both services and the gateway as children of this process.

    `say` gets the lines that are meant for the person at the terminal. Call from the main thread:
    the children are bound to its life.
    """

    def __init__(self, settings: EmbeddedSettings, say: Callable[[str], None]) -> None:
        self.home = settings.home.expanduser().absolute()
        host = reachable_host(settings.bind_host)
        host = f"[{host}]" if ":" in host else host
        # This stack's own services, whatever other addresses the environment names.
        self.settings = settings.model_copy(
            update={
                "home": self.home,
                "progress_address": f"{host}:{settings.progress_port}",
                "leaderboard_address": f"{host}:{settings.leaderboard_port}",
            }
        )
        self._say = say
        self._lock = FolderLock(self.home)
        self._units: list[Supervised] = []  # in the order of their start
        self._watches: list[LogWatch] = []

    def start(self) -> None:
        """Starts everything; returns when both services are SERVING and the gateway listens.

        Raises RefusedError when it cannot begin (home in use, port taken), EmbeddedError when
        something does not come up. Either way the caller calls `stop`.
        """
        self._take_home()
        self._end_left_over()
        check_ports(self.settings)
        postgres_url, redis_url = self._start_servers()
        services = self._services(postgres_url, redis_url)
        for service in services:
            self.add(service)
        self._wait_until_serving(services)
        run = self.home / "run"
        self.add(EmbeddedEnvoy(run, self.settings, self.home / "logs" / "envoy.log"))
        # What they warned of while they waited for each other is in the logs.
        self._watches = [LogWatch(service.name, service.log.path) for service in services]

    def run_module(
        self, module: Module, timeout_s: float, *, accepted: Sequence[int] = (0,)
    ) -> int:
        """Runs one of our programs to its end; its exit code.

        EmbeddedError when that is not an accepted one, or the program takes longer.
        """
        process = self.module_process(module)
        try:
            process.start()
            self._wait(lambda: process.running, timeout_s, f"{module.name} did not finish")
        finally:
            process.kill()
        code = process.exit_code
        if code is None or code not in accepted:
            raise EmbeddedError(f"{module.name} failed: {process.log.tail()}")
        return code

    def module_process(
        self, module: Module, environment: dict[str, str] | None = None
    ) -> ModuleProcess:
        """A program of ours that is told about this stack, to be started or added."""
        own = {
            "LAUREL_HOME": str(self.home),
            "LAUREL_PROGRESS_ADDRESS": self.settings.progress_address,
            "LAUREL_LEADERBOARD_ADDRESS": self.settings.leaderboard_address,
        }
        drain_s = self.settings.drain_seconds
        inherited = {name: text for name, text in os.environ.items() if name not in STORE_URLS}
        everything = inherited | own | (environment or {})
        return ModuleProcess(module, self.home, everything, drain_s=drain_s)

    def add(self, unit: Unit, *, finishes: bool = False) -> None:
        """Starts a unit and watches over it from now on; it will be stopped before the others.

        One that `finishes` is not started again when it has ended with exit code 0.
        """
        self._units.append(Supervised(unit, self._say, finishes=finishes))
        unit.start()

    def supervise(self) -> None:
        """Restarts what ends by itself, bounds the logs, shows the services' warnings; for ever.

        It returns by an exception alone, such as the one that a signal handler raises.
        """
        next_trim = time.monotonic()
        while True:
            for supervised in self._units:
                supervised.check(time.monotonic())
            for watch in self._watches:
                for line in watch.new_warnings():
                    self._say(line)
            if time.monotonic() >= next_trim:
                next_trim = time.monotonic() + TRIM_EVERY_S
                for supervised in self._units:
                    supervised.unit.log.trim()
            time.sleep(TICK_S)

    def stop(self) -> None:
        """Stops everything, the last started first, each within its bound."""
        while self._units:
            self._units[-1].unit.stop()
            self._units.pop()
        self._lock.release()

    def kill(self) -> None:
        """Kills what still runs, in the same order, and waits until it is gone."""
        while self._units:
            if self._units[-1].unit.running:
                self._units[-1].unit.kill()
            self._units.pop()
        self._lock.release()

    def _take_home(self) -> None:
        """Creates the home, which only we may enter, and makes sure that it is ours alone."""
        try:
            if not self.home.exists():
                private_folder(self.home)
            for name in ("run", "logs"):
                private_folder(self.home / name)
            taken = not self._lock.acquire()
        except OSError as error:
            raise RefusedError(f"LAUREL_HOME: {error.strerror}: {self.home}") from error
        if taken:
            raise RefusedError(f"LAUREL_HOME: another stack is running on {self.home}")

    def _end_left_over(self) -> None:
        """Ends services and gateway that a killed supervisor has left; they hold the ports."""
        for path in sorted((self.home / "run").glob("*.pid")):
            PidFile(path).end_left_over()

    def _start_servers(self) -> tuple[str, str]:
        """Starts the embedded servers, those that are wanted; the URLs of PostgreSQL and Redis."""
        logs = self.home / "logs"
        postgres_url, redis_url = self.settings.postgres_url, self.settings.redis_url
        if postgres_url is None:
            postgres = EmbeddedPostgres(self.home / "postgres", log=logs / "postgres.log")
            self.add(postgres)
            postgres_url = postgres.url()
        if redis_url is None:
            redis = EmbeddedRedis(self.home / "redis", log=logs / "redis.log")
            self.add(redis)
            redis_url = redis.url()
        return postgres_url, redis_url

    def _services(self, postgres_url: str, redis_url: str) -> list[ModuleProcess]:
        """Both services; each is told where its own store is."""
        first_port = self.settings.metrics_port
        second_port = first_port + 1 if first_port else 0
        progress = Module("ProgressService", "progress_service")
        leaderboard = Module("LeaderboardService", "leaderboard_service")
        return [
            self.module_process(
                progress,
                {"LAUREL_POSTGRES_URL": postgres_url, "LAUREL_METRICS_PORT": str(first_port)},
            ),
            self.module_process(
                leaderboard,
                {"LAUREL_REDIS_URL": redis_url, "LAUREL_METRICS_PORT": str(second_port)},
            ),
        ]

    def _wait_until_serving(self, services: list[ModuleProcess]) -> None:
        addresses = (self.settings.progress_address, self.settings.leaderboard_address)
        waiter = self.module_process(
            Module("the wait for SERVING", "shared.embedded.serving", addresses)
        )

        def still_waiting() -> bool:
            for service in services:
                if not service.running:
                    raise EmbeddedError(
                        f"{service.name} ended with exit code {service.exit_code} while it "
                        f"started: {service.log.tail()}"
                    )
            return waiter.running

        waiter.start()
        try:
            self._wait(still_waiting, SERVING_TIMEOUT_S, "the services are not SERVING")
        finally:
            waiter.kill()
        if waiter.exit_code != 0:
            raise EmbeddedError(f"cannot ask for the services' health: {waiter.log.tail()}")

    def _wait(self, condition: Callable[[], bool], timeout_s: float, otherwise: str) -> None:
        """Waits while the condition holds; EmbeddedError with `otherwise` after the timeout."""
        deadline = time.monotonic() + timeout_s
        while condition():
            if time.monotonic() > deadline:
                logs = self.home / "logs"
                raise EmbeddedError(f"{otherwise} within {timeout_s:g} s; see {logs}")
            time.sleep(POLL_S)
