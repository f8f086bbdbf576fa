"""The whole of Laurel on one machine: what `laurel up` starts, watches over and stops.

- <home>/postgres, <home>/redis: the embedded servers' data
- <home>/run: process ids and Envoy's configuration
- <home>/logs: one file for each process, bounded in size
- <home>/token-secret, auth-secret: what the services sign pages and writes with, and what callers'
  tokens are signed with; made at the first start

Start: PostgreSQL, Redis, both services, the gateway; stop: the reverse. What ends by itself is
started again, after a pause that doubles up to a bound.
"""

import os
import time
from collections.abc import Callable, Sequence

from pydantic import SecretStr

from shared.embedded.envoy import EmbeddedEnvoy
from shared.embedded.errors import EmbeddedError, LateError, RefusedError
from shared.embedded.folders import FolderLock, private_folder
from shared.embedded.leftover import POLL_S
from shared.embedded.logwatch import LogWatch
from shared.embedded.pidfile import PidFile
from shared.embedded.ports import check_ports
from shared.embedded.postgres import EmbeddedPostgres
from shared.embedded.redis import EmbeddedRedis
from shared.embedded.secret_file import AUTH_SECRET, TOKEN_SECRET, kept_secret
from shared.embedded.service import Module, ModuleProcess
from shared.embedded.settings import EmbeddedSettings
from shared.embedded.settings_check import BAD_SETTING, check_settings
from shared.embedded.supervisor import Supervised, Unit

SERVING_TIMEOUT_S = 60.0
TICK_S = 0.2
PROGRESS = Module("ProgressService", "progress_service", knows_secret=True)
LEADERBOARD = Module("LeaderboardService", "leaderboard_service", knows_secret=True)
# Only who needs a secret gets it, and each service the URL of its own store.
SERVICES_OWN = (
    "LAUREL_POSTGRES_URL",
    "LAUREL_REDIS_URL",
    "LAUREL_TOKEN_SECRET",
    "LAUREL_AUTH_SECRET",
)
# What the URLs of embedded servers look like, before these have been started.
EMBEDDED_POSTGRES_URL = "postgresql://laurel@/laurel?host=/"
EMBEDDED_REDIS_URL = "unix:///redis.sock"
# As long as one that we make.
EMBEDDED_SECRET = "0" * 64
TRIM_EVERY_S = 5.0


class Stack:
    """PostgreSQL, Redis, both services and the gateway as children of this process.

    `say` gets the lines that are meant for the person at the terminal. Call from the main thread:
    the children are bound to its life.
    """

    def __init__(self, settings: EmbeddedSettings, say: Callable[[str], None]) -> None:
        self.home = settings.home.expanduser().absolute()
        # This stack's own services, whatever other addresses the environment names.
        self.settings = settings.model_copy(
            update={
                "home": self.home,
                "progress_address": settings.reachable(settings.progress_port),
                "leaderboard_address": settings.reachable(settings.leaderboard_port),
            }
        )
        self._auth_secret = _given(settings.auth_secret) or EMBEDDED_SECRET
        self._say = say
        self._lock = FolderLock(self.home)
        self._units: list[Supervised] = []  # in the order of their start
        self._watches: list[LogWatch] = []

    def start(self) -> None:
        """Starts everything; returns when both services are SERVING and the gateway listens.

        Raises RefusedError when it cannot begin (a bad setting, home in use, port taken),
        EmbeddedError when something does not come up. Either way the caller calls `stop`.
        """
        self._check_settings()
        self._take_home()
        self._end_left_over()
        check_ports(self.settings)
        postgres_url, redis_url = self._start_servers()
        self._auth_secret = self._secret(AUTH_SECRET, self.settings.auth_secret)
        token_secret = self._secret(TOKEN_SECRET, self.settings.token_secret)
        special = self._service_environments(postgres_url, redis_url, token_secret)
        services = [self.module_process(module, own) for module, own in special.items()]
        watches = [LogWatch(service.name, service.log.path) for service in services]
        for service in services:
            self.add(service)
        self._wait_until_serving(services, watches)
        run = self.home / "run"
        self.add(EmbeddedEnvoy(run, self.settings, self.home / "logs" / "envoy.log"))
        # What a service warned of while it waited for our own servers is in the logs alone.
        given = (self.settings.postgres_url, self.settings.redis_url)
        self._watches = [
            watch if url else LogWatch(service.name, service.log.path)
            for service, watch, url in zip(services, watches, given, strict=True)
        ]

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
        everything = self._environment(module) | (environment or {})
        return ModuleProcess(module, self.home, everything, drain_s=self.settings.drain_seconds)

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
            self._show_warnings(self._watches)
            if time.monotonic() >= next_trim:
                next_trim = time.monotonic() + TRIM_EVERY_S
                for supervised in self._units:
                    supervised.unit.log.trim()
            time.sleep(TICK_S)

    def _show_warnings(self, watches: Sequence[LogWatch]) -> None:
        for watch in watches:
            for line in watch.new_warnings():
                self._say(line)

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

    def _environment(self, module: Module) -> dict[str, str]:
        """What a program of ours is told."""
        own = {
            "LAUREL_HOME": str(self.home),
            "LAUREL_PROGRESS_ADDRESS": self.settings.progress_address,
            "LAUREL_LEADERBOARD_ADDRESS": self.settings.leaderboard_address,
        }
        if module.knows_secret:
            own["LAUREL_AUTH_SECRET"] = self._auth_secret
        return {name: text for name, text in os.environ.items() if name not in SERVICES_OWN} | own

    def _check_settings(self) -> None:
        postgres_url = self.settings.postgres_url or EMBEDDED_POSTGRES_URL
        redis_url = self.settings.redis_url or EMBEDDED_REDIS_URL
        secret = _given(self.settings.token_secret) or EMBEDDED_SECRET
        special = self._service_environments(postgres_url, redis_url, secret)
        check_settings({one: self._environment(one) | own for one, own in special.items()})

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

    def _secret(self, file: str, setting: SecretStr | None) -> str:
        return _given(setting) or kept_secret(self.home / file)

    def _service_environments(
        self, postgres_url: str, redis_url: str, token_secret: str
    ) -> dict[Module, dict[str, str]]:
        """What each service is told besides: its own store, its metrics' port, the secret."""
        first_port = self.settings.metrics_port
        second_port = first_port + 1 if first_port else 0
        return {
            PROGRESS: {
                "LAUREL_POSTGRES_URL": postgres_url,
                "LAUREL_METRICS_PORT": str(first_port),
                "LAUREL_TOKEN_SECRET": token_secret,
            },
            LEADERBOARD: {
                "LAUREL_REDIS_URL": redis_url,
                "LAUREL_METRICS_PORT": str(second_port),
                "LAUREL_TOKEN_SECRET": token_secret,
            },
        }

    def _wait_until_serving(
        self, services: Sequence[ModuleProcess], watches: Sequence[LogWatch]
    ) -> None:
        addresses = (self.settings.progress_address, self.settings.leaderboard_address)
        waiter = self.module_process(
            Module("the wait for SERVING", "shared.embedded.serving", addresses)
        )

        def still_waiting() -> bool:
            for service in services:
                if not service.running:
                    raise _ended(service)
            # It waits for a database that is not ours, perhaps for ever.
            self._show_warnings(watches[:1] if self.settings.postgres_url else ())
            return waiter.running

        waiter.start()
        try:
            self._wait(still_waiting, SERVING_TIMEOUT_S, "the services are not SERVING")
        except LateError:
            # What they have warned of last is why.
            for line in [line for watch in watches for line in watch.latest_warning()]:
                self._say(line)
            raise
        finally:
            waiter.kill()
        if waiter.exit_code != 0:
            raise EmbeddedError(f"cannot ask for the services' health: {waiter.log.tail()}")

    def _wait(self, condition: Callable[[], bool], timeout_s: float, otherwise: str) -> None:
        """Waits while the condition holds; LateError with `otherwise` after the timeout."""
        deadline = time.monotonic() + timeout_s
        while condition():
            if time.monotonic() > deadline:
                logs = self.home / "logs"
                raise LateError(f"{otherwise} within {timeout_s:g} s; see {logs}")
            time.sleep(POLL_S)


def _given(secret: SecretStr | None) -> str:
    return secret.get_secret_value() if secret else ""


def _ended(service: ModuleProcess) -> EmbeddedError:
    """Why a service ended while it started: a bad setting, or something else."""
    if service.exit_code == BAD_SETTING:
        return RefusedError(service.log.reason())
    return EmbeddedError(
        f"{service.name} ended with exit code {service.exit_code} while it started: "
        f"{service.log.reason()}"
    )
