"""The loop that verifies boards all the time: what it finds is mended, counted and logged."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
import structlog
from structlog.testing import capture_logs

from leaderboard_service import comparison, metrics, verification, verifier
from shared.embedded.redis import EmbeddedRedis
from shared.gen.laurel.leaderboard.v1 import admin_pb2
from tests.board_damage import hand
from tests.leaderboard_app import Client, eventually, live_client
from tests.leaderboard_peer import Peer
from tests.verify_boards import ALL_TIME, STANDINGS, TODAY, boards_are_right, scene, verify

FAST = 1_000_000.0
MARKS = "marks//all_time/"


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> Any:
    with capture_logs() as caught:
        for module in (verification, verifier):
            monkeypatch.setattr(module, "log", structlog.get_logger())
        yield caught


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Round follows upon round, and failure upon failure."""
    for name in ("_FIRST_PAUSE_S", "_LEAST_ROUND_S"):
        monkeypatch.setattr(verifier, name, 0.02)
    monkeypatch.setattr(verifier, "_FIRST_FAILURE_PAUSE_S", 0.02)


def counted(kind: str) -> float:
    return float(metrics.BOARD_MISMATCHES.labels(kind)._value.get())


def value(counter: Any) -> float:
    return float(counter._value.get())


async def rounds(client: Client, number: int = 2) -> None:
    """Waits for whole rounds: the first may have begun before."""
    for _ in range(number):
        before = (await client.status()).last_verify_time.ToMicroseconds()

        async def complete(before: int = before) -> bool:
            return (await client.status()).last_verify_time.ToMicroseconds() > before

        await eventually(complete)


async def until(holds: Callable[[], bool]) -> None:
    async def check() -> bool:
        return holds()

    await eventually(check)


@pytest.mark.parametrize("parts", [1, 4])
async def test_what_is_wrong_is_mended_counted_by_kind_and_logged_with_all_there_is_to_know(
    redis_url: str, lines: list[Any], parts: int
) -> None:
    peer = Peer()
    await scene(peer)
    kinds = ("score", "missing", "extra", "hidden")
    before = {kind: counted(kind) for kind in kinds}
    repairs, verified = value(metrics.BOARD_REPAIRS), value(metrics.STANDINGS_VERIFIED)
    settings = {"partitions": parts, "verify_standings_per_second": FAST}
    async with live_client(redis_url, peer, **settings) as client, hand(redis_url) as spoiler:
        await rounds(client)
        assert {kind: counted(kind) for kind in kinds} == before
        await spoiler.put(ALL_TIME, "a", 99)
        await spoiler.remove(MARKS, "b")
        await spoiler.put(MARKS, "crowd-7", 3)
        await spoiler.keep(ALL_TIME, "h", 1)
        await until(lambda: value(metrics.BOARD_REPAIRS) == repairs + 4)
        await rounds(client)
        await boards_are_right(client)
        status = await client.status()
        assert (status.mismatches_found, status.standings_repaired) == (4, 4)
        assert status.standings_verified >= 2 * STANDINGS
        assert status.last_verify_mismatches == 0
        assert value(metrics.STANDINGS_VERIFIED) - verified >= 2 * STANDINGS
    assert {kind: counted(kind) - before[kind] for kind in kinds} == dict.fromkeys(kinds, 1.0)
    told = {line["kind"]: line for line in lines if line["event"] == "standing differs"}
    generation = spoiler.generation
    for kind, board, user, expected, found in [
        ("score", ALL_TIME, "a", 10, 99),
        ("missing", MARKS, "b", 6, 0),
        ("extra", MARKS, "crowd-7", 0, 3),
        ("hidden", ALL_TIME, "h", 13, 1),
    ]:
        about = {"board": board, "user_id": user, "expected": expected, "found": found}
        at = {"epoch": peer.epoch, "sequence": len(peer.changes), "repaired": True}
        where = {"generation": generation.id, "part": generation.part_of(user)}
        assert told[kind].items() >= {**about, **at, **where, "log_level": "error"}.items()
        assert told[kind]["built_us"] > 0


async def test_of_much_damage_the_first_lines_are_logged_and_the_others_counted(
    redis_url: str, lines: list[Any]
) -> None:
    peer = Peer()
    await scene(peer)
    settings = {"verify_standings_per_second": 0}
    async with live_client(redis_url, peer, **settings) as client, hand(redis_url) as spoiler:
        await spoiler.drop(ALL_TIME)
        found = await verify(client.admin)
    assert len(found.mismatches) == 198
    assert sum(line["event"] == "standing differs" for line in lines) == 100
    (more,) = [line for line in lines if line["event"] == "more standings differ"]
    assert more["count"] == 98


async def test_boards_that_cannot_be_mended_are_rebuilt(redis_url: str, lines: list[Any]) -> None:
    peer = Peer()
    await scene(peer)
    settings = {"verify_standings_per_second": FAST}
    async with live_client(redis_url, peer, **settings) as client, hand(redis_url) as spoiler:
        await spoiler.redis.zrem(spoiler.part("b").board(ALL_TIME), "b")

        async def rebuilt() -> bool:
            return await spoiler.redis.get("laurel:generation") not in {
                None,
                spoiler.generation.id,
            }

        await eventually(rebuilt)
        await rounds(client)
        await boards_are_right(client)
    assert [line["user_id"] for line in lines if line["event"] == "standing differs"] in ([], ["b"])


async def test_outages_rebuilds_and_losses_are_survived_without_a_false_alarm(
    redis_server: EmbeddedRedis, lines: list[Any]
) -> None:
    peer = Peer()
    await scene(peer)
    redis_url = redis_server.url()
    settings = {"verify_standings_per_second": FAST, "redis_timeout_s": 0.2}
    async with live_client(redis_url, peer, **settings) as client:
        await rounds(client)
        failures = value(metrics.BOARD_VERIFIER_FAILURES)
        peer.down = True
        await until(lambda: value(metrics.BOARD_VERIFIER_FAILURES) > failures + 3)
        peer.down = False
        peer.restart()
        await peer.credit("a", 5, occurred_date=TODAY)
        await rounds(client)
        await asyncio.to_thread(redis_server.stop)
        await until(lambda: metrics.BREAKER_OPEN._value.get() == 1)
        await asyncio.to_thread(redis_server.start)
        await rounds(client)
        for _ in range(2):
            rebuild = client.admin.RebuildBoards(admin_pb2.RebuildBoardsRequest())
            async for _ in rebuild:
                await peer.credit("b", 1, occurred_date=TODAY)
        await rounds(client)
        await boards_are_right(client)
        assert (await client.status()).mismatches_found == 0
    events = [line["event"] for line in lines]
    assert {"standing differs", "verifier failed"}.isdisjoint(events)
    assert 1 <= events.count("boards wait to be verified") < 12


async def test_what_fails_for_an_unknown_reason_is_passed_over(
    redis_url: str, lines: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    peer = Peer()
    await scene(peer)
    monkeypatch.setattr(comparison, "_PACK", "no number")
    settings = {"verify_standings_per_second": FAST}
    async with live_client(redis_url, peer, **settings) as client:
        failures = value(metrics.BOARD_VERIFIER_FAILURES)
        await until(lambda: value(metrics.BOARD_VERIFIER_FAILURES) > failures + verifier._TRIES)
        assert not (await client.status()).HasField("last_verify_time")
        monkeypatch.setattr(comparison, "_PACK", 50)
        await rounds(client)
    assert [line["event"] for line in lines if line["log_level"] == "error"] == ["verifier failed"]


async def test_a_pace_of_0_switches_it_off(redis_url: str) -> None:
    peer = Peer()
    async with live_client(redis_url, peer, verify_standings_per_second=0) as client:
        await verify(client.admin)
        snapshots = peer.snapshots
        for _ in range(20):
            await client.status()
        assert peer.snapshots == snapshots


async def test_it_keeps_the_pace(redis_url: str) -> None:
    peer = Peer()
    await scene(peer)
    async with live_client(redis_url, peer, verify_standings_per_second=3 * STANDINGS) as client:
        loop = asyncio.get_running_loop()
        await rounds(client, 1)
        began = loop.time()
        await rounds(client, 1)
        assert loop.time() - began > 0.3
