"""TLS and mutual TLS: who is answered, who is not, and both services talking to each other."""

import asyncio
import json
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
import trustme
from grpc import aio

from progress_service.settings import ProgressSettings
from shared.gen.laurel.leaderboard.v1 import leaderboard_pb2 as pb
from shared.gen.laurel.leaderboard.v1.leaderboard_pb2_grpc import LeaderboardServiceStub
from shared.gen.laurel.progress.v1 import admin_pb2
from shared.gen.laurel.progress.v1.admin_pb2_grpc import ProgressAdminServiceStub
from shared.settings import CommonSettings
from shared.tls import channel_credentials
from tests.access import open_channel
from tests.certificates import CertificateFiles, shown_by
from tests.conftest import running_progress
from tests.leaderboard_app import running
from tests.ports import free_port
from tests.progress import Progress, eventually


@pytest.fixture
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def issued(tmp_path: Path, authority: trustme.CA) -> Callable[[str], CertificateFiles]:
    """Files of a process with that name, under the authority that all share."""
    return lambda name: CertificateFiles(tmp_path / name, authority)


Issued = Callable[[str], CertificateFiles]


@asynccontextmanager
async def progress_with(
    postgres_url: str, files: CertificateFiles, port: int = 0, **settings: bool
) -> AsyncIterator[Progress]:
    given = files.settings(**settings)
    started = ProgressSettings(postgres_url=postgres_url, drain_seconds=0.5, **given)
    async with running_progress(started, port=port) as progress:
        yield progress


async def answers(target: str, **tls_files: Any) -> bool:
    """Whether the service answers a caller with these files."""
    credentials = channel_credentials(CommonSettings(**tls_files))
    async with open_channel(target, own_connection=True, credentials=credentials) as channel:
        try:
            await ProgressAdminServiceStub(channel).GetStatus(
                admin_pb2.GetStatusRequest(), timeout=10
            )
        except aio.AioRpcError as error:
            if error.code() is not grpc.StatusCode.UNAVAILABLE:
                raise
            return False
    return True


async def test_with_tls_only_those_are_answered_who_use_it_and_know_the_authority(
    postgres_url: str, issued: Issued, tmp_path: Path
) -> None:
    stranger = CertificateFiles(tmp_path / "stranger", trustme.CA())
    files = issued("progress")
    async with progress_with(postgres_url, files) as progress:
        await progress.put_users("ann")
        assert await answers(progress.target, tls_ca_file=files.ca)
        assert not await answers(progress.target, tls_ca_file=stranger.ca)
        assert not await answers(progress.target)


async def test_a_certificate_for_another_name_is_not_trusted(
    postgres_url: str, issued: Issued, authority: trustme.CA
) -> None:
    files = issued("progress")
    async with progress_with(postgres_url, files) as progress:
        files.issue(authority, "elsewhere.example")

        async def refused() -> bool:
            return not await answers(progress.target, tls_ca_file=files.ca)

        await eventually(refused, "the certificate for another name is shown, and refused")


async def test_with_mutual_tls_only_a_certificate_of_the_authority_is_answered(
    postgres_url: str, issued: Issued, tmp_path: Path
) -> None:
    server, caller = issued("progress"), issued("caller")
    stranger = CertificateFiles(tmp_path / "stranger", trustme.CA())
    stranger.ca = caller.ca
    async with progress_with(postgres_url, server, tls_client_auth=True) as progress:
        await progress.put_users("ann")
        assert await answers(progress.target, **caller.settings())
        assert not await answers(progress.target, tls_ca_file=caller.ca)
        assert not await answers(progress.target, **stranger.settings())
        assert not await answers(progress.target)


async def run(*command: str, **settings: object) -> tuple[int | None, str]:
    """A program of this project with these settings; its exit status, and what it printed."""
    environment = {f"LAUREL_{name.upper()}": str(value) for name, value in settings.items()}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, *command), env=environment, stdout=PIPE, stderr=PIPE
    )
    said, errors = await process.communicate()
    return process.returncode, f"{said.decode()}{errors.decode()}"


async def test_the_wait_for_serving_and_the_command_line_use_mutual_tls(
    postgres_url: str, issued: Issued, tmp_path: Path
) -> None:
    caller = issued("caller").settings()
    async with progress_with(postgres_url, issued("progress"), tls_client_auth=True) as progress:
        assert await run("-m", "shared.embedded.serving", progress.target, **caller) == (0, "")
        main = "from shared.cli.main import app; app()"
        addresses = {"progress_address": progress.target, "leaderboard_address": "127.0.0.1:1"}
        _, said = await run("-c", main, "status", "--json", **caller, **addresses)
    assert json.loads(said)["progress_service"]["health"] == "SERVING", said


class Readers:
    """Awards, each of which is read from the boards at once: so LeaderboardService calls
    ProgressService, while it also follows it.
    """

    def __init__(self, boards: LeaderboardServiceStub, progress: Progress) -> None:
        self._boards = boards
        self._progress = progress
        self.read = 0

    async def once(self) -> None:
        credit = await self._progress.award("ann", 1)
        request = pb.GetRankRequest(user_id="ann", consistency_token=credit.consistency_token)
        found = await self._boards.GetRank(request, timeout=15)
        assert found.entry.score == credit.total
        self.read += 1

    async def _for_ever(self) -> None:
        while True:
            await self.once()

    async def more(self) -> None:
        """Waits for some more."""
        wanted = self.read + 3

        async def enough() -> bool:
            return self.read >= wanted

        await eventually(enough, "awards are read from the boards")

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """One after the other for the length of the block; the first failure ends it."""
        async with asyncio.TaskGroup() as group:
            task = group.create_task(self._for_ever())
            yield
            task.cancel()

    async def connected(self) -> None:
        """Waits until one succeeds."""

        async def works() -> bool:
            try:
                await self.once()
            except aio.AioRpcError:
                return False
            return True

        await eventually(works, "the services have found each other")


async def renewed(files: CertificateFiles, target: str) -> None:
    """Waits until the service shows its newest certificate."""

    async def shown() -> bool:
        return await asyncio.to_thread(shown_by, target) == files.serial

    await eventually(shown, "it shows its new certificate")


async def test_both_services_renew_everything_over_mutual_tls_without_a_failed_call(
    postgres_url: str, redis_url: str, issued: Issued, authority: trustme.CA
) -> None:
    first, second, caller = every = [issued(name) for name in ("first", "second", "caller")]
    port, new = free_port(), trustme.CA()
    progress_target = f"127.0.0.1:{port}"
    settings = second.settings(tls_client_auth=True)
    credentials = channel_credentials(CommonSettings(**caller.settings()))
    async with (
        running(redis_url, progress_target, **settings) as app,
        open_channel(f"127.0.0.1:{app.server.port}", credentials=credentials) as channel,
    ):
        boards = LeaderboardServiceStub(channel)
        async with progress_with(postgres_url, first, port, tls_client_auth=True) as progress:
            await progress.put_users("ann")
            readers = Readers(boards, progress)
            await readers.connected()
            async with readers.running():
                for files in every:
                    files.trust(authority, new)
                for files in every:
                    files.issue(new)
                await renewed(first, progress_target)
                await renewed(second, f"127.0.0.1:{app.server.port}")
                for files in every:
                    files.trust(new)
                await readers.more()
        # All connections are made anew, by those who know nothing but the new authority.
        async with progress_with(postgres_url, first, port, tls_client_auth=True) as progress:
            readers = Readers(boards, progress)
            await readers.connected()
            async with readers.running():
                await readers.more()
