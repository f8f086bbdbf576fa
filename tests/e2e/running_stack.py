"""A `laurel up` of the tests' own: its home, its ports, its process."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import grpc
import psutil
from grpc_health.v1 import health_pb2, health_pb2_grpc

from shared.embedded.leftover import still_alive
from tests.access import AUTH_SECRET
from tests.memory_folder import new_folder
from tests.ports import free_ports

LAUREL = Path(sys.executable).parent / "laurel"
REPOSITORY = Path(__file__).resolve().parent.parent.parent
POLL_S = 0.05


def until(condition: Callable[[], bool], timeout_s: float, what: str) -> None:
    """Waits for the condition; fails with `what` after the timeout."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"not within {timeout_s} s: {what}"
        time.sleep(POLL_S)


def stack_ports() -> dict[str, str]:
    """Ports for one stack; the metrics take two in a row."""
    names = (
        *("PROGRESS_PORT", "LEADERBOARD_PORT"),
        *("GATEWAY_PORT", "ADMIN_GATEWAY_PORT", "METRICS_PORT"),
    )
    ports = free_ports(len(names) + 1)
    return {f"LAUREL_{name}": str(port) for name, port in zip(names, ports, strict=False)}


@dataclass
class RunningStack:
    """`laurel up` with a home and ports of its own; as a context, stopped and removed at its end.

    Callers' tokens are signed as those of `tests.access`, unless its settings say otherwise.
    Not in pytest's folder: its parents are closed to the user that PostgreSQL runs as under root.
    """

    options: tuple[str, ...] = ()
    settings: Mapping[str, str] = field(default_factory=dict)
    home: Path = field(default_factory=lambda: new_folder("laurel-test-") / "home")
    ports: dict[str, str] = field(default_factory=stack_ports)

    def __post_init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._output = self.home.parent / "stdout"
        self._errors = self.home.parent / "stderr"

    def __enter__(self) -> Self:
        try:
            self.start_and_wait()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def process(self) -> psutil.Process:
        """The supervisor."""
        assert self._process is not None
        return psutil.Process(self._process.pid)

    @property
    def output(self) -> str:
        """What it has written to stdout since its last start."""
        return self._output.read_text()

    @property
    def errors(self) -> str:
        """What it has written to stderr since its last start."""
        return self._errors.read_text()

    @property
    def environment(self) -> dict[str, str]:
        """The environment in which clients find this stack."""
        clean = {name: text for name, text in os.environ.items() if not name.startswith("LAUREL_")}
        own = {"LAUREL_HOME": str(self.home), "LAUREL_AUTH_SECRET": AUTH_SECRET}
        return clean | self.ports | own | dict(self.settings)

    def port(self, name: str) -> int:
        """The port of a setting, such as "GATEWAY_PORT"."""
        return int(self.ports[f"LAUREL_{name}"])

    def target(self, name: str) -> str:
        """The address of a port, host:port."""
        return f"{self.settings.get('LAUREL_BIND_HOST', '127.0.0.1')}:{self.port(name)}"

    def run_client(self, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
        """Runs the `laurel` command on this stack, with these variables besides, to its end."""
        return subprocess.run(
            [str(LAUREL), *arguments],
            env=self.environment | settings,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    def start(self) -> None:
        """Starts it; returns at once."""
        with self._output.open("wb") as output, self._errors.open("wb") as errors:
            self._process = subprocess.Popen(
                [str(LAUREL), "up", *self.options],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=errors,
                env=self.environment,
                cwd=REPOSITORY,
                start_new_session=True,
            )

    def start_and_wait(self) -> None:
        """Starts it; returns when it has printed `ready`."""
        self.start()
        self.wait_until_ready()

    def wait_until_ready(self) -> None:
        """Returns when it has printed `ready` on a line of its own."""
        until(lambda: self.has_ended() or "ready" in self.output.splitlines(), 90, "ready")
        assert not self.has_ended(), f"ended: {self.errors}"

    def run_to_end(self) -> int:
        """Starts it and waits for its end; the exit status."""
        self.start()
        return self.wait()

    def wait(self, timeout_s: float = 60) -> int:
        """Waits for its end; the exit status."""
        assert self._process is not None
        return self._process.wait(timeout_s)

    def interrupt(self) -> int:
        """Ctrl-C; the exit status."""
        self.interrupt_once()
        return self.wait()

    def interrupt_once(self) -> None:
        """Ctrl-C, if it still runs; returns at once."""
        assert self._process is not None
        self._process.send_signal(signal.SIGINT)

    def kill(self) -> None:
        """kill -9 of the supervisor alone."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def family(self) -> list[psutil.Process]:
        """The supervisor and everything that it has started."""
        return [self.process, *self.process.children(recursive=True)]

    def child(self, part: str) -> psutil.Process:
        """The child whose command line has `part` in it."""
        return next(process for process in self.process.children() if _runs(process, part))

    def child_runs(self, part: str) -> bool:
        """Whether there is such a child."""
        return any(_runs(process, part) for process in self.process.children())

    def close(self) -> None:
        """Stops it, if it runs, and removes its folder; fails when a process is left."""
        if self._process is not None and self._process.poll() is None:
            family = self.family()
            self.interrupt()
            assert still_alive(family, 10) == []
        shutil.rmtree(self.home.parent, ignore_errors=True)

    def has_ended(self, timeout_s: float = 0.0) -> bool:
        """Whether it has ended, at the latest after the timeout."""
        assert self._process is not None
        try:
            self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return False
        return True


def _runs(process: psutil.Process, part: str) -> bool:
    try:
        return part in " ".join(process.cmdline())
    except psutil.NoSuchProcess:
        return False


def is_serving(target: str) -> bool:
    """Whether grpc.health.v1 at the address says SERVING."""
    with grpc.insecure_channel(target) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        try:
            answer = stub.Check(health_pb2.HealthCheckRequest(), timeout=2)
        except grpc.RpcError:
            return False
        return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)
