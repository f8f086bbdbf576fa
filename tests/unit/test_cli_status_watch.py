import asyncio
import json
import os
import re
import time
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing, contextmanager
from datetime import UTC, datetime, timedelta

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from shared.cli.calls import Peer
from shared.cli.status_tables import Rates
from shared.cli.status_watch import Refresh, refreshed
from shared.gen.laurel.leaderboard.v1.admin_pb2 import GetStatusResponse
from shared.gen.laurel.types.v1.types_pb2 import Position
from tests.unit.cli_board_peer import LeaderboardAdminPeer, leaderboard_admin_service
from tests.unit.cli_peer import progress_admin_service, serving
from tests.unit.cli_process import TIMEOUT_S, command, interrupt

STEP = 7
UNKNOWN = Rates(None, None)


@pytest.fixture(autouse=True)
def _often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shared.cli.status_watch.PERIOD_S", 0.05)
    monkeypatch.setattr("shared.cli.status_watch.TIMEOUT_S", 0.5)


@pytest.fixture
def peer() -> LeaderboardAdminPeer:
    status = GetStatusResponse(
        state=GetStatusResponse.STATE_LIVE,
        applied=Position(epoch="e", sequence=11),
        head_sequence=12,
        start_time=Timestamp(seconds=1),
        partitions=1,
    )
    return LeaderboardAdminPeer(status, STEP)


@contextmanager
def _progress() -> Iterator[str]:
    with serving(progress_admin_service()) as address:
        yield address


@contextmanager
def _leaderboard(peer: LeaderboardAdminPeer, port: int = 0) -> Iterator[str]:
    with serving(leaderboard_admin_service(peer), port=port) as address:
        yield address


def _watched(progress: str, leaderboard: str) -> aclosing[AsyncGenerator[Refresh, None]]:
    pair = Peer("ProgressService", progress), Peer("LeaderboardService", leaderboard)
    return aclosing(refreshed(*pair))


async def _until_ok(refreshes: AsyncGenerator[Refresh, None], *, ok: bool) -> Refresh:
    async with asyncio.timeout(TIMEOUT_S):
        while True:
            refresh = await anext(refreshes)
            if refresh.states.leaderboard.ok is ok:
                return refresh


async def test_the_rates_are_what_the_counters_grew_by_per_second(
    peer: LeaderboardAdminPeer,
) -> None:
    with _progress() as progress, _leaderboard(peer) as leaderboard:
        async with _watched(progress, leaderboard) as refreshes:
            first, second, third = [await anext(refreshes) for _ in range(3)]
    assert first.rates == UNKNOWN
    for before, after in ((first, second), (second, third)):
        elapsed_s = after.clock_s - before.clock_s
        assert after.rates.redis == pytest.approx(STEP / elapsed_s, abs=0.001)
        assert after.rates.postgresql == 0


async def test_counters_of_another_process_give_no_rate(peer: LeaderboardAdminPeer) -> None:
    with _progress() as progress, _leaderboard(peer) as leaderboard:
        async with _watched(progress, leaderboard) as refreshes:
            await anext(refreshes)
            peer.status.start_time.seconds += 60
            peer.status.answers_from_redis = 0
            assert (await anext(refreshes)).rates == UNKNOWN
            assert (await anext(refreshes)).rates != UNKNOWN


async def test_a_service_that_goes_down_is_shown_as_such_until_it_is_back(
    peer: LeaderboardAdminPeer,
) -> None:
    with _progress() as progress:
        with _leaderboard(peer) as leaderboard:
            refreshes = refreshed(Peer("P", progress), Peer("L", leaderboard))
            await _until_ok(refreshes, ok=True)
        async with aclosing(refreshes):
            down = await _until_ok(refreshes, ok=False)
            with _leaderboard(peer, int(leaderboard.rpartition(":")[2])):
                back = await _until_ok(refreshes, ok=True)
    assert down.states.progress.ok
    assert down.rates == UNKNOWN
    assert down.line().endswith("· L no answer")
    assert down.document()["leaderboard_service"]["error"]["status"] == "UNAVAILABLE"
    assert back.rates == UNKNOWN


async def test_a_service_that_hangs_does_not_hold_up_the_other(
    peer: LeaderboardAdminPeer,
) -> None:
    peer.hangs = True
    with _progress() as progress, _leaderboard(peer) as leaderboard:
        async with _watched(progress, leaderboard) as refreshes, asyncio.timeout(5):
            refresh = await anext(refreshes)
    assert refresh.states.progress.ok
    error = refresh.states.leaderboard.error
    assert error is not None
    assert error.status == "DEADLINE_EXCEEDED"


@contextmanager
def _settings(peer: LeaderboardAdminPeer) -> Iterator[dict[str, str]]:
    with _progress() as progress, _leaderboard(peer) as leaderboard:
        yield {"LAUREL_PROGRESS_ADDRESS": progress, "LAUREL_LEADERBOARD_ADDRESS": leaderboard}


def test_into_a_pipe_each_refresh_is_a_line_until_ctrl_c(peer: LeaderboardAdminPeer) -> None:
    with (
        _settings(peer) as settings,
        command("status", "--watch", environment=settings) as process,
    ):
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(2)]
        seen = datetime.now(UTC)
        _, stderr = interrupt(process)
    assert (process.returncode, stderr) == (130, "")
    for line in lines:
        assert re.match(
            r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ ProgressService SERVING · position 12 · "
            r"0 not numbered yet · LeaderboardService SERVING · live · applied 11 of 12 · ",
            line,
        )
    assert seen - datetime.fromisoformat(lines[1].split()[0]) < timedelta(seconds=5)
    assert re.search(r"from Redis 14 \(\d\.\d/s\) · from PostgreSQL 0 \(0\.0/s\) ·", lines[1])


def test_as_json_each_refresh_is_a_document_on_a_line(peer: LeaderboardAdminPeer) -> None:
    with (
        _settings(peer) as settings,
        command("status", "--watch", "--json", environment=settings) as process,
    ):
        assert process.stdout is not None
        first, second = (json.loads(process.stdout.readline()) for _ in range(2))
        interrupt(process)
    assert process.returncode == 130
    assert set(first) == {"time", "progress_service", "leaderboard_service", "answers_per_s"}
    assert first["answers_per_s"] == {"redis": None, "postgresql": None}
    assert second["answers_per_s"]["redis"] > 0
    assert second["time"] > first["time"]
    assert second["leaderboard_service"]["status"]["answers_from_redis"] == str(2 * STEP)


def test_a_reader_that_goes_away_ends_it_without_a_traceback(peer: LeaderboardAdminPeer) -> None:
    with (
        _settings(peer) as settings,
        command("status", "--watch", environment=settings) as process,
    ):
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.wait(TIMEOUT_S) == 1
        assert process.stderr.read() == ""


@contextmanager
def _terminal() -> Iterator[tuple[int, int]]:
    ends = os.openpty()
    try:
        yield ends
    finally:
        for end in ends:
            os.close(end)


def test_on_a_terminal_each_refresh_takes_the_place_of_the_one_before(
    peer: LeaderboardAdminPeer,
) -> None:
    shape = {"COLUMNS": "160", "LINES": "40", "TERM": "xterm"}
    with (
        _terminal() as (ours, theirs),
        _settings(peer) as settings,
        command("status", "--watch", environment=settings | shape, stdout=theirs) as process,
    ):
        drawn, until = "", time.monotonic() + TIMEOUT_S
        while drawn.count("answers from Redis") < 2 and time.monotonic() < until:
            drawn += os.read(ours, 65_536).decode()
        interrupt(process)
    assert process.returncode == 130
    assert drawn.count("LeaderboardService at") >= 2
    assert "14 (" in drawn
    up_a_line = "\x1b[1A"
    assert drawn.count(up_a_line) > 10
