"""How watches begin and end: what is refused, stalled readers, the end of the server."""

import asyncio
import time
from typing import Any

import pytest

from leaderboard_service.watching.schedule import Rhythm
from shared.errors import InvalidInput, ResourceExhausted, Unavailable
from shared.gen.laurel.types.v1 import types_pb2
from tests.leaderboard_app import eventually
from tests.leaderboard_peer import Peer
from tests.watchers import Scene, watched

DAY = types_pb2.WINDOW_DAY


@pytest.mark.parametrize(
    ("ask", "field"),
    [
        (lambda scene: scene.top(-1), "count"),
        (lambda scene: scene.top(window=DAY, period="2026-11"), "board.period"),
        (lambda scene: scene.top(period="2026"), "board.period"),
        (lambda scene: scene.top(window=9), "board.window"),
        (lambda scene: scene.rank(""), "user_id"),
        (lambda scene: scene.rank("a b"), "user_id"),
        (lambda scene: scene.rank("a", metric="a/b"), "board.metric"),
    ],
)
async def test_a_malformed_request_names_its_field(redis_url: str, ask: Any, field: str) -> None:
    async with watched(redis_url) as scene:
        error = await ask(scene).end()
        assert isinstance(error, InvalidInput)
        assert [violation.field for violation in error.violations] == [field]
        assert scene.app.watches.open == 0


async def test_watches_beyond_the_bound_are_refused_until_a_place_is_free(redis_url: str) -> None:
    async with watched(redis_url, max_watches=2) as scene:
        first, second = scene.top(), scene.rank("a")
        await first.read()
        await second.read()
        error = await scene.top().end()
        assert (type(error), error.reason) == (ResourceExhausted, "TOO_MANY_WATCHERS")
        assert error.retry_delay_s
        first.call.cancel()

        async def one_is_free() -> bool:
            return scene.app.watches.open == 1

        await eventually(one_is_free)
        await scene.top().read()


async def test_watches_end_at_once_when_the_server_drains(redis_url: str) -> None:
    began = 0.0
    async with watched(redis_url, drain_seconds=60) as scene:
        top, day, rank = scene.top(), scene.top(window=DAY), scene.rank("a")
        await top.read()
        await day.read()
        await rank.read()
        began = time.monotonic()
        ends = asyncio.gather(top.end(), day.end(), rank.end())
        scene.app.server.draining.set()
        for error in await ends:
            assert (type(error), error.reason) == (Unavailable, "DRAINING")
        refused = await scene.top().end()
        assert refused.reason == "DRAINING"
        await scene.nobody_watches()
    assert time.monotonic() - began < 5


async def _stalled(scene: Scene) -> None:
    """Waits until the one who reads nothing is no longer told anything."""

    async def left() -> bool:
        await scene.peer.credit("u0", 1)
        return not scene.app.watches._boards

    await eventually(left)


async def test_a_reader_that_takes_nothing_is_ended_and_holds_its_place_while_it_stays(
    redis_url: str,
) -> None:
    peer = Peer()
    for number in range(100):
        await peer.profile(f"u{number}", "long" * 1000)
        await peer.credit(f"u{number}", 1 + number)
    rhythm = Rhythm(pace_s=0.01, keep_alive_s=600, stall_s=0.2)
    async with watched(redis_url, peer, rhythm=rhythm, max_watches=1) as scene:
        top = scene.top(100)
        await top.read()
        await _stalled(scene)
        assert (await scene.top().end()).reason == "TOO_MANY_WATCHERS"
        error = await top.end()
        assert (type(error), error.reason) == (Unavailable, "READER_STALLED")
        await scene.nobody_watches()
        await scene.top().read()


async def test_a_stalled_reader_that_goes_away_leaves_its_place(redis_url: str) -> None:
    peer = Peer()
    for number in range(100):
        await peer.profile(f"u{number}", "long" * 1000)
        await peer.credit(f"u{number}", 1 + number)
    rhythm = Rhythm(pace_s=0.01, keep_alive_s=600, stall_s=0.2)
    async with watched(redis_url, peer, rhythm=rhythm, max_watches=1) as scene:
        top = scene.top(100)
        await top.read()
        await _stalled(scene)
        top.call.cancel()
        await scene.nobody_watches()
        await scene.top().read()
