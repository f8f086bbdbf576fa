"""LAUREL_REDIS_URL: a Redis that wants a password, and one that is reached over TLS."""

import asyncio
import ssl
from asyncio import StreamReader, StreamWriter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, closing
from pathlib import Path
from urllib.parse import quote

import pytest
import trustme

from shared.embedded.redis import EmbeddedRedis
from shared.gen.laurel.leaderboard.v1.admin_pb2 import GetStatusResponse
from tests.leaderboard_app import (
    POSTGRESQL,
    REDIS,
    check_board,
    connected,
    direct,
    eventually,
    fill,
    live_client,
    running,
)
from tests.leaderboard_peer import Peer, serve
from tests.ports import free_port

PASSWORD = "p@ss/word:1"
QUOTED = quote(PASSWORD, safe="")


@pytest.fixture
async def port(tmp_path: Path) -> AsyncIterator[int]:
    """The port of a Redis that wants the password."""
    number = free_port()
    server = EmbeddedRedis(tmp_path, persist=False, port=number)
    server.start()
    async with direct(server.url()) as redis:
        await redis.config_set("requirepass", PASSWORD)
    yield number
    server.stop()


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def ca_file(authority: trustme.CA, tmp_path: Path) -> Path:
    path = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(path)
    return path


@pytest.fixture
async def tls_port(port: int, authority: trustme.CA) -> AsyncIterator[int]:
    """The port where the same Redis is reached over TLS; the certificate names 127.0.0.1."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    async with ending_tls(context, port) as number:
        yield number


@asynccontextmanager
async def ending_tls(context: ssl.SSLContext, upstream: int) -> AsyncIterator[int]:
    """A server that passes on what comes over TLS, and the answers; its port."""

    async def serve_one(reader: StreamReader, writer: StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", upstream)
        with closing(writer), closing(back):
            to = asyncio.create_task(copy(reader, back))
            fro = asyncio.create_task(copy(there, writer))
            await asyncio.wait({to, fro}, return_when=asyncio.FIRST_COMPLETED)
            to.cancel()
            fro.cancel()

    server = await asyncio.start_server(serve_one, "127.0.0.1", 0, ssl=context)
    async with server:
        yield int(server.sockets[0].getsockname()[1])


async def copy(source: StreamReader, target: StreamWriter) -> None:
    try:
        while data := await source.read(65_536):
            target.write(data)
            await target.drain()
    except OSError:
        return  # either side is gone


async def assert_boards_live_in(redis_url: str) -> None:
    peer = Peer()
    await fill(peer)
    async with live_client(redis_url, peer) as client:
        await check_board(client, source=REDIS)


async def assert_boards_answer_without(redis_url: str) -> None:
    async with AsyncExitStack() as stack:
        peer = Peer()
        await fill(peer)
        target = await stack.enter_async_context(serve(peer))
        app = await stack.enter_async_context(running(redis_url, target))
        client = await stack.enter_async_context(connected(app, peer))

        async def redis_is_down() -> bool:
            return (await client.status()).state == GetStatusResponse.STATE_REDIS_DOWN

        await eventually(redis_is_down)
        await check_board(client, source=POSTGRESQL)


async def test_a_redis_with_a_password_is_reached(port: int) -> None:
    await assert_boards_live_in(f"redis://:{QUOTED}@127.0.0.1:{port}/0")


async def test_with_a_wrong_password_postgresql_answers(port: int) -> None:
    await assert_boards_answer_without(f"redis://:wrong@127.0.0.1:{port}/0")


async def test_a_redis_behind_tls_is_reached_with_its_authority_named(
    tls_port: int, ca_file: Path
) -> None:
    url = f"rediss://default:{QUOTED}@127.0.0.1:{tls_port}/0?ssl_ca_certs={quote(str(ca_file))}"
    await assert_boards_live_in(url)


async def test_a_certificate_of_an_unknown_authority_is_refused(tls_port: int) -> None:
    await assert_boards_answer_without(f"rediss://:{QUOTED}@127.0.0.1:{tls_port}/0")


async def test_a_certificate_for_another_host_is_refused(
    port: int, authority: trustme.CA, ca_file: Path
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("redis.example").configure_cert(context)
    async with ending_tls(context, port) as number:
        url = f"rediss://:{QUOTED}@127.0.0.1:{number}/0?ssl_ca_certs={quote(str(ca_file))}"
        await assert_boards_answer_without(url)
