import json
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from typer.testing import CliRunner

from shared.cli.main import app
from shared.gen.laurel.leaderboard.v1.admin_pb2 import GetStatusResponse
from shared.gen.laurel.types.v1.types_pb2 import Position
from tests.unit.cli_board_peer import LeaderboardAdminPeer, leaderboard_admin_service
from tests.unit.cli_peer import progress_admin_service, serving

NOBODY = "127.0.0.1:1"
STATUS = GetStatusResponse(
    state=GetStatusResponse.STATE_CATCHING_UP,
    applied=Position(epoch="e", sequence=1_200),
    head_sequence=1_234,
    lag=Duration(nanos=250_000_000),
    boards=24,
    redis_memory_bytes=1_500_000,
    answers_from_redis=5_000,
    answers_from_postgresql=6,
    last_rebuild_time=Timestamp(seconds=1_795_190_400),
    last_verify_time=Timestamp(seconds=1_795_190_401),
    last_verify_mismatches=2,
    partitions=16,
    standings_verified=9_000,
    mismatches_found=3,
    standings_repaired=4,
)


@contextmanager
def _pair(
    monkeypatch: pytest.MonkeyPatch,
    *,
    leaderboard_health: str = "SERVING",
    status: GetStatusResponse = STATUS,
) -> Iterator[None]:
    peer = LeaderboardAdminPeer(status)
    with (
        serving(progress_admin_service()) as progress,
        serving(leaderboard_admin_service(peer, leaderboard_health)) as leaderboard,
    ):
        monkeypatch.setenv("LAUREL_PROGRESS_ADDRESS", progress)
        monkeypatch.setenv("LAUREL_LEADERBOARD_ADDRESS", leaderboard)
        yield


def test_status_shows_both_services(monkeypatch: pytest.MonkeyPatch) -> None:
    with _pair(monkeypatch):
        result = CliRunner().invoke(app, ["status"])
    assert result.exit_code == 0, result.stderr
    assert result.stdout.count("SERVING") == 2
    facts = [line.split() for line in result.stdout.splitlines()]
    for fact in (
        ["position", "12"],
        ["history", "kept", "from", "9"],
        ["users", "3"],
        ["state", "catching", "up"],
        ["applied", "1,200", "of", "1,234"],
        ["lag", "0.250", "s"],
        ["boards", "24"],
        ["parts", "of", "each", "16"],
        ["Redis", "memory", "1.5", "MB"],
        ["answers", "from", "Redis", "5,000"],
        ["answers", "from", "PostgreSQL", "6"],
        ["last", "rebuild", "2026-11-20", "16:00:00", "UTC"],
        ["last", "verification", "2026-11-20", "16:00:01", "UTC,", "2", "mismatches"],
        ["standings", "verified", "9,000"],
        ["mismatches", "found", "3"],
        ["standings", "repaired", "4"],
    ):
        assert fact in facts


def test_what_a_new_service_does_not_know_yet_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    with _pair(monkeypatch, status=GetStatusResponse(state=GetStatusResponse.STATE_REDIS_DOWN)):
        result = CliRunner().invoke(app, ["status"])
    facts = [line.split() for line in result.stdout.splitlines()]
    for fact in (
        ["state", "redis", "down"],
        ["applied", "nothing", "of", "0"],
        ["lag", "unknown"],
        ["last", "rebuild", "none", "since", "the", "start"],
        ["last", "verification", "none", "since", "the", "start"],
    ):
        assert fact in facts


def test_status_as_json_is_one_document(monkeypatch: pytest.MonkeyPatch) -> None:
    with _pair(monkeypatch):
        result = CliRunner().invoke(app, ["status", "--json"])
    document = json.loads(result.stdout)
    assert set(document) == {"progress_service", "leaderboard_service"}
    progress = document["progress_service"]
    assert (progress["ok"], progress["health"], progress["error"]) == (True, "SERVING", None)
    assert progress["status"]["head"] == {"epoch": "e", "sequence": "12"}
    assert document["leaderboard_service"]["status"]["state"] == "STATE_CATCHING_UP"


def test_one_service_down_is_shown_as_such_and_exits_1(monkeypatch: pytest.MonkeyPatch) -> None:
    with _pair(monkeypatch):
        monkeypatch.setenv("LAUREL_LEADERBOARD_ADDRESS", NOBODY)
        table = CliRunner().invoke(app, ["status"])
        document = CliRunner().invoke(app, ["status", "--json"])
    assert (table.exit_code, document.exit_code) == (1, 1)
    assert f"LeaderboardService at {NOBODY}: no answer" in table.stdout
    assert "applied" not in table.stdout
    states = json.loads(document.stdout)
    assert states["progress_service"]["ok"]
    assert not states["leaderboard_service"]["ok"]
    assert states["leaderboard_service"]["error"]["status"] == "UNAVAILABLE"


def test_a_service_that_does_not_serve_exits_1(monkeypatch: pytest.MonkeyPatch) -> None:
    with _pair(monkeypatch, leaderboard_health="NOT_SERVING"):
        result = CliRunner().invoke(app, ["status"])
    assert result.exit_code == 1
    assert "NOT_SERVING" in result.stdout
