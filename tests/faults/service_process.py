"""One replica of a service as a process."""

import asyncio
import os
import sys
from collections.abc import Mapping
from pathlib import Path

from grpc import aio
from grpc_health.v1 import health_pb2, health_pb2_grpc

from shared.embedded.logfile import LogFile
from shared.embedded.process import ChildProcess, Command
from tests.access import AUTH_SECRET, open_channel
from tests.faults import clock
from tests.faults.guard import ROOT
from tests.faults.service import MUTANT, STALL
from tests.faults.waiting import until
from tests.signing import SECRET

_SETTINGS = {
    "LAUREL_TOKEN_SECRET": SECRET,
    "LAUREL_AUTH_SECRET": AUTH_SECRET,
    "LAUREL_METRICS_PORT": "0",
    "LAUREL_DRAIN_SECONDS": "1",
    "LAUREL_MAX_ATTEMPTS_PER_MINUTE": "0",
    "LAUREL_MAX_ATTEMPTS_PER_DAY": "0",
    # So low that the flood meets them; one caller's calls leave some for the others.
    "LAUREL_SERVICE_CONCURRENT_CALLS": "80",
    "LAUREL_MAX_CONCURRENT_CALLS": "100",
    "LAUREL_MAX_STREAMS": "24",
    STALL: "1.0",
    # Nothing is mended behind the validators' backs.
    "LAUREL_VERIFY_USERS_PER_SECOND": "0",
    "LAUREL_VERIFY_STANDINGS_PER_SECOND": "0",
}
_HEALTH_S = 2.0


class ServiceProcess:
    """A replica of `module` that listens on `port`, with settings of its own and perhaps a bug. Its
    clock can be set.
    """

    def __init__(
        self, folder: Path, log: Path, module: str, port: int, settings: Mapping[str, str]
    ) -> None:
        folder.mkdir()
        self.clock = clock.WallClock(folder / "clock")
        self.port = port
        self.deaths: list[str] = []
        """How it ended when nobody had killed it."""
        self._module = module
        self._is_killed = True
        kept = {key: value for key, value in os.environ.items() if not key.startswith("LAUREL_")}
        self._child = ChildProcess(
            Command(
                name=module,
                argv=[sys.executable, "-m", "tests.faults.service", module],
                log=LogFile(log),
                environment=kept
                | _SETTINGS
                | {clock.VARIABLE: str(folder / "clock"), "PYTHONPATH": str(ROOT)}
                | {f"LAUREL_{module.removesuffix('_service').upper()}_PORT": str(port)}
                | {**settings},
                working_directory=folder,
            )
        )

    @property
    def pid(self) -> int:
        """The process's; there must have been one."""
        return self._child.pid

    @property
    def running(self) -> bool:
        """Whether the process runs."""
        return self._child.running

    async def start(self) -> None:
        """Starts it, if it does not run; returns at once."""
        self.notice_death()
        if not self.running:
            self._is_killed = False
            await asyncio.to_thread(self._child.start)

    async def kill(self) -> None:
        """As a crash would."""
        self.notice_death()
        self._is_killed = True
        await asyncio.to_thread(self._child.kill)

    def notice_death(self) -> None:
        """Writes down that it has ended by itself, if it has."""
        if not self._is_killed and not self.running:
            tail = self._child.command.log.tail()
            self.deaths.append(f"{self._module} ended with {self._child.exit_code}: {tail}")
            self._is_killed = True

    async def wait_until_serving(self) -> None:
        """Returns when it says that it is SERVING; RuntimeError when it has ended."""
        async with open_channel(f"127.0.0.1:{self.port}", own_connection=True) as channel:
            stub = health_pb2_grpc.HealthStub(channel)

            async def is_serving() -> bool:
                if not self.running:
                    raise RuntimeError(f"{self._module}: {self._child.command.log.tail()}")
                try:
                    answer = await stub.Check(health_pb2.HealthCheckRequest(), timeout=_HEALTH_S)
                except aio.AioRpcError:
                    return False
                return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)

            await until(is_serving, f"{self._module} is serving")


def mutation(mutant: str | None) -> dict[str, str]:
    """The settings of a process that has this bug."""
    return {} if mutant is None else {MUTANT: mutant}
