"""Certificates, keys and authorities are replaced while calls run: not one of them fails."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
import trustme
from grpc import aio
from structlog.testing import capture_logs

from shared.channels import open_channel
from shared.settings import CommonSettings, ServiceSettings
from shared.tls import channel_credentials, server_credentials
from tests.certificates import CertificateFiles, replace, serial_of, shown_by
from tests.ports import free_port
from tests.progress import eventually

CALLERS = 4
REFUSED = "tls files not used, the last good ones are"


def _seen(context: Any) -> bytes:
    """The serial number of the caller's certificate; 0 without one."""
    shown = context.auth_context().get("x509_pem_cert")
    return str(serial_of(shown[0]) if shown else 0).encode()


async def _one(request: bytes, context: Any) -> bytes:
    return _seen(context)


async def _many(requests: AsyncIterator[bytes], context: Any) -> AsyncIterator[bytes]:
    async for _ in requests:
        yield _seen(context)


@asynccontextmanager
async def server(
    files: CertificateFiles, port: int | None = None, **settings: Any
) -> AsyncIterator[str]:
    """A server with the services' TLS, which answers with the certificate of who asks."""
    address = f"127.0.0.1:{port or free_port()}"
    credentials = server_credentials(ServiceSettings(**files.settings(**settings)))
    assert credentials is not None
    running = aio.server(options=[("grpc.so_reuseport", 0)])
    running.add_generic_rpc_handlers(
        (
            grpc.method_handlers_generic_handler(
                "test.Peer",
                {
                    "One": grpc.unary_unary_rpc_method_handler(_one),
                    "Many": grpc.stream_stream_rpc_method_handler(_many),
                },
            ),
        )
    )
    running.add_secure_port(address, credentials)
    await running.start()
    try:
        yield address
    finally:
        await running.stop(0)


@asynccontextmanager
async def dialled(target: str, files: CertificateFiles) -> AsyncIterator[aio.Channel]:
    """A channel as services and the command line have it."""
    credentials = channel_credentials(CommonSettings(**files.settings()))
    async with open_channel(target, own_connection=True, credentials=credentials) as channel:
        yield channel


class Traffic:
    """Calls without a pause on one channel. `seen` is the certificate that the server has seen in
    the latest answer.
    """

    def __init__(self, channel: aio.Channel) -> None:
        self._one: Any = channel.unary_unary("/test.Peer/One")
        self._many: Any = channel.stream_stream("/test.Peer/Many")
        self.seen = 0
        self.calls = 0

    async def once(self, timeout: float = 10) -> int:
        self.seen = int(await self._one(b"", timeout=timeout))
        self.calls += 1
        return self.seen

    async def _for_ever(self) -> None:
        while True:
            await self.once()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Some callers at once for the length of the block; the first failure ends it."""
        async with asyncio.TaskGroup() as group:
            callers = [group.create_task(self._for_ever()) for _ in range(CALLERS)]
            yield
            for caller in callers:
                caller.cancel()

    @asynccontextmanager
    async def stream(self) -> AsyncIterator[Any]:
        """An open stream; its function asks in it once more."""
        stream = self._many()

        async def ask() -> int:
            await stream.write(b"")
            return int(await stream.read())

        yield ask
        await stream.done_writing()
        assert await stream.read() is aio.EOF


async def shows(target: str, serial: int) -> None:
    """Waits until a new handshake shows the certificate."""

    async def shown() -> bool:
        return await asyncio.to_thread(shown_by, target) == serial

    await eventually(shown, "a handshake shows the certificate")


async def sees(traffic: Traffic, serial: int) -> None:
    """Waits until calls go over connections that were made with the certificate."""

    async def seen() -> bool:
        return traffic.seen == serial

    await eventually(seen, "the server sees the certificate")


@pytest.fixture
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def servers(tmp_path: Path, authority: trustme.CA) -> CertificateFiles:
    return CertificateFiles(tmp_path / "server", authority)


@pytest.fixture
def callers(tmp_path: Path, authority: trustme.CA) -> CertificateFiles:
    return CertificateFiles(tmp_path / "caller", authority)


async def test_a_new_certificate_of_the_server_is_shown_without_a_failed_call(
    servers: CertificateFiles, callers: CertificateFiles, authority: trustme.CA
) -> None:
    async with server(servers) as target, dialled(target, callers) as channel:
        traffic = Traffic(channel)
        async with traffic.running(), traffic.stream() as ask:
            await shows(target, servers.serial)
            for _ in range(2):
                await shows(target, servers.issue(authority))
                await ask()
                async with dialled(target, callers) as other:
                    await Traffic(other).once()
    assert traffic.calls > CALLERS


async def test_a_new_certificate_of_the_caller_is_shown_without_a_failed_call(
    servers: CertificateFiles, callers: CertificateFiles, authority: trustme.CA
) -> None:
    first = callers.serial
    async with (
        server(servers, tls_client_auth=True) as target,
        dialled(target, callers) as channel,
    ):
        traffic = Traffic(channel)
        async with traffic.running(), traffic.stream() as ask:
            await sees(traffic, first)
            await sees(traffic, callers.issue(authority))
            assert await ask() == first
            await sees(traffic, callers.issue(authority))
            assert await ask() == first
            async with traffic.stream() as ask_anew:
                assert await ask_anew() == callers.serial
        renewed: Any = channel
        retired = renewed._channel._retired

        async def closed() -> bool:
            return not retired

        await eventually(closed, "the channels before are closed, since their calls have ended")


async def test_authorities_are_replaced_without_a_failed_call(
    servers: CertificateFiles, callers: CertificateFiles, authority: trustme.CA, tmp_path: Path
) -> None:
    new = trustme.CA()
    outdated = CertificateFiles(tmp_path / "outdated", authority)
    outdated.trust(authority, new)
    async with (
        server(servers, tls_client_auth=True) as target,
        dialled(target, callers) as channel,
    ):
        traffic = Traffic(channel)
        async with traffic.running():
            await sees(traffic, callers.serial)
            servers.trust(authority, new)
            callers.trust(authority, new)
            await sees(traffic, callers.issue(new))
            await shows(target, servers.issue(new))
            servers.trust(new)
            callers.trust(new)

            async def is_refused() -> bool:
                async with dialled(target, outdated) as other:
                    return await _refused(other)

            await eventually(is_refused, "certificates of the authority before are refused")
            async with dialled(target, callers) as other:
                assert await Traffic(other).once() == callers.serial


async def _refused(channel: aio.Channel) -> bool:
    try:
        await Traffic(channel).once()
    except aio.AioRpcError as error:
        return error.code() is grpc.StatusCode.UNAVAILABLE
    return False


async def test_a_certificate_that_the_server_refuses_breaks_nothing_that_works(
    servers: CertificateFiles, callers: CertificateFiles, authority: trustme.CA
) -> None:
    async with (
        server(servers, tls_client_auth=True) as target,
        dialled(target, callers) as channel,
    ):
        traffic = Traffic(channel)
        async with traffic.running():
            await sees(traffic, first := callers.serial)
            renewed: Any = channel
            callers.issue(trustme.CA())

            async def tried() -> bool:
                other = renewed._channel._next
                failed = grpc.ChannelConnectivity.TRANSIENT_FAILURE
                return other is not None and other.channel.get_state() is failed

            await eventually(tried, "the new certificate was shown, and refused")
            assert await traffic.once() == first
            await sees(traffic, callers.issue(authority))


async def test_the_first_call_after_a_break_shows_what_is_new(
    servers: CertificateFiles, callers: CertificateFiles
) -> None:
    port, new = free_port(), trustme.CA()
    credentials = channel_credentials(CommonSettings(**callers.settings()))
    assert credentials is not None
    async with open_channel(f"127.0.0.1:{port}", credentials=credentials) as channel:
        traffic = Traffic(channel)
        async with server(servers, port, tls_client_auth=True):
            await traffic.once()
            before = credentials()
        for files in (servers, callers):
            files.trust(new)
            files.issue(new)

        async def noticed() -> bool:
            return credentials() is not before

        await eventually(noticed, "the new certificate was read")
        async with server(servers, port, tls_client_auth=True):
            assert await traffic.once() == callers.serial


async def test_half_a_rotation_keeps_the_last_good_pair_and_is_logged_once(
    servers: CertificateFiles, callers: CertificateFiles, authority: trustme.CA, tmp_path: Path
) -> None:
    first, other = servers.serial, CertificateFiles(tmp_path / "other", authority)
    async with server(servers) as target, dialled(target, callers) as channel:
        traffic = Traffic(channel)
        with capture_logs() as logs:
            async with traffic.running():
                replace(servers.cert, other.cert.read_bytes())

                async def told() -> bool:
                    await shows(target, first)
                    return any(line["event"] == REFUSED for line in logs)

                await eventually(told, "the pair was looked at, and not used")
                await shows(target, first)
                replace(servers.key, other.key.read_bytes())
                await shows(target, other.serial)
        events = [line["event"] for line in logs]
        assert events.count(REFUSED) == 1, events
        assert "PRIVATE KEY" not in str(logs)
