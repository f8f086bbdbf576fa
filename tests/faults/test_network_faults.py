"""Each fault of the network, on a real stack: what it does is seen, and over when it is healed."""

import asyncio
import time
from contextlib import suppress
from random import Random

import pytest

from tests.faults import redis_server
from tests.faults.effects import Least, Most, holding
from tests.faults.hops import HOPS, LEADERBOARD_REDIS, PROGRESS_POSTGRES
from tests.faults.scene import Scene

pytestmark = pytest.mark.asyncio(loop_scope="module")

_SOON_S = 0.5
# What the server behind a hop answers at once.
_HTTP2 = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes((0, 0, 0, 4, 0, 0, 0, 0, 0))
_SSL_REQUEST = bytes((0, 0, 0, 8, 4, 210, 22, 47))
_AUTH = f"AUTH {redis_server.PASSWORD}\r\n".encode()
_HELLO = dict.fromkeys(HOPS, _HTTP2) | {PROGRESS_POSTGRES: _SSL_REQUEST, LEADERBOARD_REDIS: _AUTH}


@pytest.mark.parametrize("hop", HOPS)
async def test_latency_is_added_to_the_hop(played: Scene, hop: str) -> None:
    async with holding(f"latency.{hop}", played, Most()):
        assert min([await _first_answer_s(played, hop) for _ in range(3)]) >= 0.3
    assert min([await _first_answer_s(played, hop) for _ in range(3)]) < 0.3


@pytest.mark.parametrize("hop", HOPS)
async def test_a_throttled_hop_has_few_bytes_a_second(played: Scene, hop: str) -> None:
    async with holding(f"throttle.{hop}", played):
        assert await _first_answer_s(played, hop) >= len(_HELLO[hop]) / 2_000


@pytest.mark.parametrize("chance", [Least(), Most()], ids=["always", "now and then"])
@pytest.mark.parametrize("hop", HOPS)
async def test_connections_of_the_hop_are_reset(played: Scene, hop: str, chance: Random) -> None:
    async with holding(f"reset.{hop}", played, chance):
        with pytest.raises(ConnectionResetError):
            await _hears(played, hop, listens_s=5.0)


@pytest.mark.parametrize("hop", HOPS)
async def test_nothing_comes_back_over_a_half_open_hop(played: Scene, hop: str) -> None:
    async with holding(f"half_open.{hop}", played):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(_SOON_S):
                await _hears(played, hop)


async def _first_answer_s(played: Scene, hop: str) -> float:
    """How long a new connection over the hop takes to its first answer."""
    began = time.monotonic()
    await _hears(played, hop)
    return time.monotonic() - began


async def _hears(played: Scene, hop: str, listens_s: float = 0.0) -> None:
    """Connects, says hello, and returns when there was an answer, and nothing more for so long.
    Raises ConnectionResetError.
    """
    proxy = played.stack.hops[hop][0]
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    try:
        writer.write(_HELLO[hop])
        assert await reader.read(1)
        with suppress(TimeoutError):
            async with asyncio.timeout(listens_s):
                await reader.read()
    finally:
        writer.transport.abort()
