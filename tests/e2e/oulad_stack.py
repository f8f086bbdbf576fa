"""A whole stack of its own, and OULAD put in by the command."""

import asyncio
import functools
import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from shared.cli.oulad import read_courses
from shared.cli.oulad_messages import course_message
from shared.gen.laurel.leaderboard.v1 import admin_pb2 as leaderboard_admin
from shared.gen.laurel.leaderboard.v1.admin_pb2_grpc import LeaderboardAdminServiceStub
from shared.gen.laurel.progress.v1 import admin_pb2 as progress_admin
from shared.gen.laurel.progress.v1.admin_pb2_grpc import ProgressAdminServiceStub
from shared.gen.laurel.progress.v1.catalog_pb2 import PutCourseRequest
from shared.gen.laurel.progress.v1.catalog_pb2_grpc import CatalogServiceStub
from tests.access import open_channel
from tests.e2e.oulad_expected import Expected, expected_of
from tests.e2e.running_stack import LAUREL, POLL_S, RunningStack

IMPORT_TIMEOUT_S = 240
VISIBLE_TIMEOUT_S = 120
CALL_TIMEOUT_S = 30

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


class OuladStack(RunningStack):
    """A running stack that knows how to import the data set, and when it is on the boards."""

    @property
    def progress_address(self) -> str:
        """Where ProgressService is."""
        return self.target("PROGRESS_PORT")

    @property
    def leaderboard_address(self) -> str:
        """Where LeaderboardService is."""
        return self.target("LEADERBOARD_PORT")

    def import_oulad(self, *args: str) -> dict[str, Any]:
        """Run the import to its end and return its JSON document."""
        return self._import("oulad", str(data_folder()), *args)

    def import_csv(self, kind: str, file: Path) -> dict[str, Any]:
        """Run the import of a CSV file to its end and return its JSON document."""
        return self._import("csv", "--kind", kind, str(file))

    def _import(self, *args: str) -> dict[str, Any]:
        with self.importing(*args) as process:
            stdout, stderr = process.communicate(timeout=IMPORT_TIMEOUT_S)
        assert process.returncode == 0, f"{stderr}\n{self.errors}"
        document: dict[str, Any] = json.loads(stdout)
        return document

    @contextmanager
    def importing(self, *args: str) -> Iterator[subprocess.Popen[str]]:
        """An import under way: without arguments, that of the whole data set."""
        with subprocess.Popen(
            [str(LAUREL), "import", *(args or ("oulad", str(data_folder()))), "--json"],
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            try:
                yield process
            finally:
                process.kill()

    async def put_courses(self, folder: Path) -> None:
        """Define the courses of a data set, as its import does."""
        async with open_channel(self.progress_address) as channel:
            stub = CatalogServiceStub(channel)
            for course in read_courses(folder):
                request = PutCourseRequest(course=course_message(course))
                await stub.PutCourse(request, timeout=CALL_TIMEOUT_S)

    def kill_service(self, module: str) -> None:
        """End `progress_service` or `leaderboard_service` as a crash does; `up` restarts it."""
        record = json.loads((self.home / "run" / f"{module}.pid").read_text(encoding="utf-8"))
        os.kill(int(record["pid"]), signal.SIGKILL)

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
            assert time.monotonic() < until, f"fewer than {count} entries:\n{self.errors}"
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
            where = f"{progress}\n{leaderboard}\n{self.errors}"
            assert time.monotonic() < until, f"the boards are not at the head:\n{where}"
            await asyncio.sleep(POLL_S)
