"""The servers that are measured: both services on their stores, and the echo."""

import os
import secrets
import signal
import socket
import subprocess
import sys
from pathlib import Path

from benchmarks.scene import Scene, Server
from shared.embedded.errors import EmbeddedError
from shared.embedded.folders import private_folder
from shared.embedded.logwatch import LogWatch
from shared.embedded.postgres import EmbeddedPostgres
from shared.embedded.process import launched
from shared.embedded.redis import EmbeddedRedis
from shared.embedded.service import Module, ModuleProcess
from shared.embedded.supervisor import Unit

DRAIN_S = 5.0


class Servers:
    """PostgreSQL and Redis with their usual settings, both services, and the echo.

    Everything is in `home`, on free ports and sockets of its own, with the settings' defaults
    whatever the environment says. Call from the main thread: the children are bound to its life.
    """

    def __init__(self, home: Path) -> None:
        private_folder(home)
        self._home = home
        self._postgres = EmbeddedPostgres(home / "postgres")
        self._redis = EmbeddedRedis(home / "redis")
        ports = _free_ports(3)
        self._addresses = [f"127.0.0.1:{port}" for port in ports]
        self._common = {
            "LAUREL_HOME": str(home),
            "LAUREL_PROGRESS_PORT": str(ports[0]),
            "LAUREL_LEADERBOARD_PORT": str(ports[1]),
            "LAUREL_METRICS_PORT": "0",
            "LAUREL_DRAIN_SECONDS": str(DRAIN_S),
            "LAUREL_TOKEN_SECRET": secrets.token_hex(32),
            "LAUREL_AUTH_SECRET": secrets.token_hex(32),
            # Counted as by default, and never reached.
            "LAUREL_MAX_ATTEMPTS_PER_MINUTE": "1000000",
            "LAUREL_MAX_ATTEMPTS_PER_DAY": "1000000",
        }
        self._watches: dict[str, LogWatch] = {}
        self._echo = self._process(Module("echo", "benchmarks.echo", [str(ports[2])]))
        self._progress = self._echo
        self._leaderboard = self._echo
        self._started: list[Unit] = []
        self._program: subprocess.Popen[str] | None = None

    def start(self) -> None:
        """Starts everything; returns when the services are SERVING."""
        self._start(self._postgres, self._redis, self._echo)
        self._progress = self._process(
            Module("ProgressService", "progress_service"), LAUREL_POSTGRES_URL=self._postgres.url()
        )
        self._leaderboard = self._process(
            Module("LeaderboardService", "leaderboard_service"), LAUREL_REDIS_URL=self._redis.url()
        )
        self._start(self._progress, self._leaderboard)
        self.run("shared.embedded.serving", *self._addresses[:2])

    def stop_leaderboard(self) -> None:
        """Stops LeaderboardService; Redis keeps its boards."""
        self._leaderboard.stop()

    def start_leaderboard(self) -> None:
        """Starts it again, and returns at once."""
        self._leaderboard.start()

    def scene(self, users: int, pairs: int, turn_s: float) -> Scene:
        """What the programs are told."""
        progress, leaderboard, echo = self._addresses
        return Scene(
            progress=Server(progress, self._progress.pid),
            leaderboard=Server(leaderboard, self._leaderboard.pid),
            echo=Server(echo, self._echo.pid),
            users=users,
            pairs=pairs,
            turn_s=turn_s,
        )

    def run(self, module: str, *arguments: str) -> None:
        """Runs one of our programs to its end, in a process of its own; it prints for itself."""
        self.begin(module, *arguments)
        self.finish()

    def begin(self, module: str, *arguments: str, first_line: str = "") -> None:
        """Starts a program; with `first_line`, returns when it has said that line.

        The caller finishes it.
        """
        self._program = program = subprocess.Popen(
            launched([sys.executable, "-m", module, *arguments], None, signal.SIGTERM),
            stdout=subprocess.PIPE if first_line else None,
            stdin=subprocess.DEVNULL,
            env=self._environment(),
            start_new_session=True,
            text=True,
        )
        if program.stdout is not None and program.stdout.readline().rstrip() != first_line:
            raise EmbeddedError(f"{module} did not begin")

    def finish(self) -> None:
        """Waits for the program that was begun, and prints what it says."""
        program = self._program
        if program is None:
            return
        said, _ = program.communicate()
        self._program = None
        if said:
            print(said, end="", flush=True)
        if program.returncode != 0:
            raise EmbeddedError(f"a measurement ended with exit code {program.returncode}")

    def complaints(self) -> list[str]:
        """What the services have warned of, and which of them have ended; when something fails."""
        lines: list[str] = []
        for service in (self._progress, self._leaderboard):
            lines += self._watches[service.name].new_warnings()
            if not service.running:
                lines.append(f"{service.name} does not run (exit code {service.exit_code})")
        return lines

    def stop(self) -> None:
        """Stops everything, the last started first."""
        if self._program is not None:
            self._program.kill()
            self._program.wait()
        while self._started:
            self._started.pop().stop()

    def _start(self, *units: Unit) -> None:
        for unit in units:
            self._started.append(unit)
            unit.start()

    def _process(self, module: Module, **own: str) -> ModuleProcess:
        process = ModuleProcess(module, self._home, self._environment() | own, drain_s=DRAIN_S)
        self._watches[process.name] = LogWatch(process.name, process.log.path)
        return process

    def _environment(self) -> dict[str, str]:
        inherited = {
            name: text for name, text in os.environ.items() if not name.startswith("LAUREL_")
        }
        return inherited | self._common


def _free_ports(count: int) -> list[int]:
    """Ports that nobody listens on now; held together, so that they differ."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports
