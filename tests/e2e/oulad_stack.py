"""A whole stack of its own, started as a user starts it, and OULAD put in by the command."""

import asyncio
import functools
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Self

import pytest

from shared.channels import open_channel
from shared.gen.laurel.leaderboard.v1 import admin_pb2 as leaderboard_admin
from shared.gen.laurel.leaderboard.v1.admin_pb2_grpc import LeaderboardAdminServiceStub
from shared.gen.laurel.progress.v1 import admin_pb2 as progress_admin
from shared.gen.laurel.progress.v1.admin_pb2_grpc import ProgressAdminServiceStub
from tests.e2e.oulad_expected import Expected, expected_of

LAUREL = Path(sys.executable).with_name("laurel")
READY_TIMEOUT_S = 90
STOP_TIMEOUT_S = 60
IMPORT_TIMEOUT_S = 240
VISIBLE_TIMEOUT_S = 120
CALL_TIMEOUT_S = 30
POLL_S = 0.05

LIVE = leaderboard_admin.GetStatusResponse.STATE_LIVE


def data_folder() -> Path:
    """The folder of the data set; without it the test is skipped."""
    named = os.environ.get("LAUREL_TEST_DATA", "")
    folder = Path(named) / "oulad"
    if not named or not folder.is_dir():
        pytest.skip("needs OULAD: set LAUREL_TEST_DATA to the folder that holds oulad/")
    return folder


@functools.cache
def expected() -> Expected:
    """The independent computation, once for each test process."""
    return expected_of(data_folder())


def wait_until(condition: Callable[[], bool], timeout_s: float, what: str) -> None:
    """Return once the condition holds; TimeoutError after the timeout."""
    until = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > until:
            raise TimeoutError(f"{what}: not within {timeout_s} s")
        time.sleep(POLL_S)


class OuladStack:
    """`laurel up` in a home of its own, on free ports; everything else in its environment."""

    def __init__(self, home: Path) -> None:
        self.home = home
        progress, leaderboard, gateway = _free_ports(3)
        self.progress_address = f"127.0.0.1:{progress}"
        self.leaderboard_address = f"127.0.0.1:{leaderboard}"
        clean = {k: v for k, v in os.environ.items() if not k.startswith("LAUREL_")}
        self._environment = clean | {
            "LAUREL_HOME": str(home),
            "LAUREL_PROGRESS_PORT": str(progress),
            "LAUREL_LEADERBOARD_PORT": str(leaderboard),
            "LAUREL_GATEWAY_PORT": str(gateway),
            "LAUREL_METRICS_PORT": "0",
        }
        self._output: list[str] = []
        self._resources = ExitStack()

    def __enter__(self) -> Self:
        process = subprocess.Popen(
            [LAUREL, "up"],
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        reader = threading.Thread(target=self._read, args=[process], daemon=True)
        reader.start()
        self._resources.callback(reader.join, STOP_TIMEOUT_S)
        self._resources.callback(self._stop, process)

        def ready() -> bool:
            assert process.poll() is None, f"laurel up ended:\n{self.output}"
            return "ready\n" in self._output

        try:
            wait_until(ready, READY_TIMEOUT_S, "the line `ready` of laurel up")
        except BaseException:
            self._resources.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._resources.close()

    @property
    def output(self) -> str:
        """What `laurel up` has printed."""
        return "".join(self._output)

    def import_oulad(self, *args: str) -> dict[str, Any]:
        """Run the import to its end and return its JSON document."""
        with self.importing(*args) as process:
            stdout, stderr = process.communicate(timeout=IMPORT_TIMEOUT_S)
        assert process.returncode == 0, f"{stderr}\n{self.output}"
        document: dict[str, Any] = json.loads(stdout)
        return document

    @contextmanager
    def importing(self, *args: str) -> Iterator[subprocess.Popen[str]]:
        """An import under way."""
        with subprocess.Popen(
            [LAUREL, "import", "oulad", str(data_folder()), "--json", *args],
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            try:
                yield process
            finally:
                process.kill()

    def service_pid(self, module: str) -> int:
        """The process id of `progress_service` or `leaderboard_service`."""
        record = json.loads((self.home / "run" / f"{module}.pid").read_text(encoding="utf-8"))
        return int(record["pid"])

    def kill_service(self, module: str) -> None:
        """End a service as a crash does; the supervisor starts it again."""
        os.kill(self.service_pid(module), signal.SIGKILL)

    async def progress_status(self) -> progress_admin.GetStatusResponse:
        """What ProgressService says of itself."""
        async with open_channel(self.progress_address) as channel:
            stub = ProgressAdminServiceStub(channel)
            request = progress_admin.GetStatusRequest()
            return await stub.GetStatus(request, timeout=CALL_TIMEOUT_S, wait_for_ready=True)

    async def leaderboard_status(self) -> leaderboard_admin.GetStatusResponse:
        """What LeaderboardService says of itself."""
        async with open_channel(self.leaderboard_address) as channel:
            stub = LeaderboardAdminServiceStub(channel)
            request = leaderboard_admin.GetStatusRequest()
            return await stub.GetStatus(request, timeout=CALL_TIMEOUT_S, wait_for_ready=True)

    async def entries_reach(self, count: int) -> None:
        """Wait until the ledger holds `count` entries, in the middle of an import."""
        until = time.monotonic() + IMPORT_TIMEOUT_S
        while (await self.progress_status()).ledger_entries < count:
            assert time.monotonic() < until, f"fewer than {count} entries:\n{self.output}"
            await asyncio.sleep(POLL_S)

    async def visible(self) -> int:
        """Wait until every change is numbered and on the boards of both stores; the head."""
        until = time.monotonic() + VISIBLE_TIMEOUT_S
        while True:
            progress = await self.progress_status()
            leaderboard = await self.leaderboard_status()
            if (
                progress.unnumbered_changes == 0
                and leaderboard.applied == progress.head
                and leaderboard.state == LIVE
            ):
                return progress.head.sequence
            where = f"{progress}\n{leaderboard}\n{self.output}"
            assert time.monotonic() < until, f"the boards are not at the head:\n{where}"
            await asyncio.sleep(POLL_S)

    def _read(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        with process.stdout as lines:
            for line in lines:
                self._output.append(line)

    def _stop(self, process: subprocess.Popen[str]) -> None:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise


def _free_ports(count: int) -> list[int]:
    with ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
