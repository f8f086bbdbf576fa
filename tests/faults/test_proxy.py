"""Each thing that a proxy does to a network, as both ends see it."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.faults.proxy import HALF_OPEN, Mode, Proxy
from tests.faults.waiting import until
from tests.ports import free_port

_SOON_S = 0.2
"""Long enough for bytes to come back here, if they do."""


class Echo:
    """A server that sends back what it gets, and counts."""

    def __init__(self) -> None:
        self.port = free_port()
        self.received = 0
        self.open = 0
        self._writers: set[asyncio.StreamWriter] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.open += 1
        self._writers.add(writer)
        with suppress(ConnectionError):
            while data := await reader.read(65_536):
                self.received += len(data)
                writer.write(data)
                await writer.drain()
        self.open -= 1
        writer.close()

    def crash(self) -> None:
        for writer in self._writers:
            writer.transport.abort()


@pytest.fixture
async def echo() -> AsyncIterator[Echo]:
    served = Echo()
    async with await asyncio.start_server(served.serve, "127.0.0.1", served.port):
        yield served
        served.crash()


@pytest.fixture
async def proxy(echo: Echo) -> AsyncIterator[Proxy]:
    hop = Proxy(("127.0.0.1", echo.port), free_port(), jitter=lambda: 1.0)
    await hop.start()
    yield hop
    await hop.close()


class Client:
    """One connection through the proxy."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def says(self, text: bytes) -> bytes:
        """What comes back."""
        self.writer.write(text)
        return await asyncio.wait_for(self.reader.readexactly(len(text)), 5)

    async def hears_nothing(self) -> bool:
        try:
            await asyncio.wait_for(self.reader.read(1), _SOON_S)
        except TimeoutError:
            return True
        return False

    async def is_reset(self) -> bool:
        try:
            return await asyncio.wait_for(self.reader.read(), 5) is None
        except ConnectionResetError:
            return True


@pytest.fixture
async def client(proxy: Proxy) -> AsyncIterator[Client]:
    opened = await connected(proxy)
    yield opened
    await left(opened)


async def connected(proxy: Proxy) -> Client:
    return Client(*await asyncio.open_connection("127.0.0.1", proxy.port))


async def left(client: Client) -> None:
    client.writer.close()
    with suppress(OSError):
        await client.writer.wait_closed()


async def test_bytes_pass_both_ways_unchanged_and_in_order(client: Client) -> None:
    text = bytes(range(256)) * 8_000
    client.writer.write(text)
    assert await asyncio.wait_for(client.reader.readexactly(len(text)), 10) == text


async def test_a_unix_socket_can_be_the_target(tmp_path: Path) -> None:
    served = Echo()
    path = tmp_path / "echo"
    async with await asyncio.start_unix_server(served.serve, path):
        proxy = Proxy(path, free_port(), jitter=lambda: 1.0)
        await proxy.start()
        client = await connected(proxy)
        assert await client.says(b"hello") == b"hello"
        await left(client)
        await proxy.close()
        served.crash()


async def test_the_end_of_one_side_is_told_to_the_other(proxy: Proxy, echo: Echo) -> None:
    client = await connected(proxy)
    assert await client.says(b"last words") == b"last words"
    client.writer.write_eof()
    assert await asyncio.wait_for(client.reader.read(), 5) == b""
    await left(client)
    await until(lambda: _is(echo.open == 0 and proxy.connections == 0), "both are closed", 5)


async def test_a_server_that_crashes_takes_its_connections_along(
    proxy: Proxy, echo: Echo, client: Client
) -> None:
    await client.says(b"hello")
    echo.crash()
    with suppress(ConnectionResetError):
        assert await asyncio.wait_for(client.reader.read(), 5) == b""
    await left(client)
    await until(lambda: _is(proxy.connections == 0), "nothing is left", 5)


async def test_without_a_server_a_connection_ends(proxy: Proxy) -> None:
    proxy.target = ("127.0.0.1", free_port())
    client = await connected(proxy)
    assert await client.is_reset()
    await left(client)
    assert proxy.connections == 0


@pytest.mark.parametrize(("jitter_s", "least_s"), [(0.0, 0.2), (0.1, 0.4)])
async def test_latency_is_added_each_way_and_not_for_each_message(
    proxy: Proxy, client: Client, jitter_s: float, least_s: float
) -> None:
    proxy.shape(Mode(delay_s=0.1, jitter_s=jitter_s))
    began = time.monotonic()
    for _ in range(20):
        client.writer.write(b"ping")
        await asyncio.sleep(0)
    assert await asyncio.wait_for(client.reader.readexactly(80), 5) == b"ping" * 20
    assert least_s <= time.monotonic() - began < least_s + 1.0
    await proxy.heal()
    began = time.monotonic()
    await client.says(b"ping")
    assert time.monotonic() - began < 0.1


async def test_a_throttled_connection_has_so_many_bytes_a_second(
    proxy: Proxy, echo: Echo, client: Client
) -> None:
    proxy.shape(Mode(bytes_per_s=20_000))
    began = time.monotonic()
    await client.says(b"x" * 5_000)
    assert time.monotonic() - began >= 0.5  # 0.25 s each way


async def test_what_a_slow_hop_has_not_sent_yet_is_bounded(
    proxy: Proxy, echo: Echo, client: Client
) -> None:
    proxy.shape(HALF_OPEN)
    for _ in range(400):
        client.writer.write(b"x" * 65_536)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(client.writer.drain(), _SOON_S)
    assert client.writer.transport.get_write_buffer_size() > 10_000_000, "the proxy took it all"
    client.writer.transport.abort()


async def test_reset_ends_connections_and_new_ones_are_well(
    proxy: Proxy, echo: Echo, client: Client
) -> None:
    await client.says(b"hello")
    proxy.reset()
    assert await client.is_reset()
    again = await connected(proxy)
    assert await again.says(b"hello") == b"hello"
    await left(again)


async def test_with_continued_reset_new_connections_end_too(proxy: Proxy, client: Client) -> None:
    await client.says(b"hello")
    proxy.keep_resetting()
    assert await client.is_reset()
    again = await connected(proxy)
    assert await again.is_reset()
    await left(again)
    await proxy.heal()
    healed = await connected(proxy)
    assert await healed.says(b"hello") == b"hello"
    await left(healed)


async def test_a_half_open_connection_takes_everything_and_gives_nothing(
    proxy: Proxy, echo: Echo, client: Client
) -> None:
    await client.says(b"hello")
    proxy.shape(HALF_OPEN)
    client.writer.write(b"anyone?")
    new = await connected(proxy)
    new.writer.write(b"hello?")
    assert await client.hears_nothing()
    assert echo.received == len(b"hello")
    await proxy.heal()
    assert await asyncio.wait_for(client.reader.readexactly(7), 5) == b"anyone?"
    assert await asyncio.wait_for(new.reader.readexactly(6), 5) == b"hello?"
    await left(new)


async def test_a_connection_may_be_half_open_in_one_direction(
    proxy: Proxy, echo: Echo, client: Client
) -> None:
    proxy.shape(Mode(held_down=True))
    client.writer.write(b"hello")
    assert await client.hears_nothing()
    assert echo.received == len(b"hello")
    proxy.shape(Mode(held_up=True))
    assert await asyncio.wait_for(client.reader.readexactly(5), 5) == b"hello"
    client.writer.write(b"hello")
    assert await client.hears_nothing()
    assert echo.received == len(b"hello")


async def test_healing_may_close_what_was_half_open(proxy: Proxy, client: Client) -> None:
    await client.says(b"hello")
    proxy.shape(HALF_OPEN)
    await proxy.heal(close_held=True)
    assert await client.is_reset()


async def test_who_leaves_a_half_open_connection_is_missed_only_when_it_heals(
    proxy: Proxy, echo: Echo
) -> None:
    client = await connected(proxy)
    await client.says(b"hello")
    proxy.shape(HALF_OPEN)
    await left(client)
    with pytest.raises(TimeoutError):
        await until(lambda: _is(echo.open == 0), "the server knows", _SOON_S)
    await proxy.heal()
    await until(lambda: _is(echo.open == 0 and proxy.connections == 0), "the server knows", 5)


async def test_where_it_refuses_nothing_listens(proxy: Proxy, client: Client) -> None:
    await client.says(b"hello")
    await proxy.refuse()
    assert await client.is_reset()
    with pytest.raises(ConnectionRefusedError):
        await connected(proxy)
    await proxy.heal()
    again = await connected(proxy)
    assert await again.says(b"hello") == b"hello"
    await left(again)


async def _is(condition: bool) -> bool:
    return condition


@pytest.mark.parametrize("mode", [Mode(delay_s=0.01), Mode(bytes_per_s=10_000)])
async def test_what_is_not_passed_on_at_once_is_counted(
    proxy: Proxy, client: Client, mode: Mode
) -> None:
    await client.says(b"hello")
    assert not proxy.touched
    proxy.shape(mode)
    await client.says(b"hello")
    assert proxy.touched == 2 * len(b"hello")
    proxy.reset()
    assert proxy.touched > 2 * len(b"hello")
