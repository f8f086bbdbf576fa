import json
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from grpc import aio
from grpc_health.v1 import health_pb2_grpc
from typer.testing import CliRunner

from shared.cli.main import app
from shared.gen.laurel.leaderboard.v1.admin_pb2_grpc import (
    add_LeaderboardAdminServiceServicer_to_server,
)
from shared.gen.laurel.progress.v1.admin_pb2_grpc import add_ProgressAdminServiceServicer_to_server
from tests.unit.cli_peer import Health, ImportPeer, LeaderboardAdminPeer, serving

NOBODY = "127.0.0.1:1"


@contextmanager
def _pair(
    monkeypatch: pytest.MonkeyPatch, *, leaderboard_health: str = "SERVING"
) -> Iterator[None]:
    def progress(server: aio.Server) -> None:
        health_pb2_grpc.add_HealthServicer_to_server(Health(), server)
        add_ProgressAdminServiceServicer_to_server(ImportPeer(), server)

    def leaderboard(server: aio.Server) -> None:
        health_pb2_grpc.add_HealthServicer_to_server(Health(leaderboard_health), server)
        add_LeaderboardAdminServiceServicer_to_server(LeaderboardAdminPeer(), server)

    with serving(progress) as one, serving(leaderboard) as other:
        monkeypatch.setenv("LAUREL_PROGRESS_ADDRESS", one)
        monkeypatch.setenv("LAUREL_LEADERBOARD_ADDRESS", other)
        yield


def test_status_shows_both_services(monkeypatch: pytest.MonkeyPatch) -> None:
    with _pair(monkeypatch):
        result = CliRunner().invoke(app, ["status"])
    assert result.exit_code == 0, result.stderr
    assert result.stdout.count("SERVING") == 2
    assert "sequence 12" in result.stdout
    assert "STATE_LIVE" in result.stdout


def test_status_as_json_is_one_document(monkeypatch: pytest.MonkeyPatch) -> None:
    with _pair(monkeypatch):
        result = CliRunner().invoke(app, ["status", "--json"])
    document = json.loads(result.stdout)
    assert set(document) == {"progress_service", "leaderboard_service"}
    progress = document["progress_service"]
    assert (progress["ok"], progress["health"], progress["error"]) == (True, "SERVING", None)
    assert progress["status"]["head"] == {"epoch": "e", "sequence": "12"}
    assert document["leaderboard_service"]["status"]["state"] == "STATE_LIVE"


def test_one_service_down_is_shown_as_such_and_exits_1(monkeypatch: pytest.MonkeyPatch) -> None:
    with _pair(monkeypatch):
        monkeypatch.setenv("LAUREL_LEADERBOARD_ADDRESS", NOBODY)
        table = CliRunner().invoke(app, ["status"])
        document = CliRunner().invoke(app, ["status", "--json"])
    assert (table.exit_code, document.exit_code) == (1, 1)
    assert f"LeaderboardService at {NOBODY}: no answer" in table.stdout
    assert "STATE_" not in table.stdout
    states = json.loads(document.stdout)
    assert states["progress_service"]["ok"]
    assert not states["leaderboard_service"]["ok"]
    assert states["leaderboard_service"]["error"]["status"] == "UNAVAILABLE"


def test_a_service_that_does_not_serve_exits_1(monkeypatch: pytest.MonkeyPatch) -> None:
    with _pair(monkeypatch, leaderboard_health="NOT_SERVING"):
        result = CliRunner().invoke(app, ["status"])
    assert result.exit_code == 1
    assert "NOT_SERVING" in result.stdout
