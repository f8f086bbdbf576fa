"""Tokens leave this machine with TLS, or where someone has said that they may without."""

from pathlib import Path

import pytest
import trustme
from typer.testing import CliRunner

from leaderboard_service.settings import LeaderboardSettings
from shared.cli.calls import progress_peer
from shared.cli.main import app
from shared.exposure import calls_this_machine
from tests.certificates import CertificateFiles


@pytest.fixture
def files(tmp_path: Path) -> CertificateFiles:
    return CertificateFiles(tmp_path, trustme.CA())


@pytest.mark.parametrize(
    "target",
    [
        "127.0.0.1:50051",
        "localhost:50051",
        "localhost",
        "[::1]:50051",
        "dns:localhost:1",
        "dns:///127.0.0.1:50051",
        "unix:/run/laurel.sock",
        "unix:///run/laurel.sock",
    ],
)
def test_calls_to_these_targets_stay_on_this_machine(target: str) -> None:
    assert calls_this_machine(target)


OTHERS = [
    "progress:50051",
    "192.0.2.1:50051",
    "[2001:db8::1]:50051",
    "dns://192.0.2.1/localhost:50051",
    "ipv4:127.0.0.1:1,192.0.2.1:1",
    "127.0.0.1:1@node.example:50051",
    "localhost.example:50051",
    "xds:///localhost:50051",
    "127.0.0.1:1,node.example:1",
    "unix-like:50051",
]


@pytest.mark.parametrize("target", OTHERS)
def test_leaderboard_service_sends_no_token_in_the_open_unless_told_so(
    target: str,
    files: CertificateFiles,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("LAUREL_REDIS_URL", "redis://store.example/0")
    monkeypatch.setenv("LAUREL_PROGRESS_ADDRESS", target)
    with pytest.raises(SystemExit) as ended:
        LeaderboardSettings.load()
    assert ended.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    said = f"LAUREL_PROGRESS_ADDRESS: tokens would be sent to {target!r} without TLS"
    assert line.startswith(f"laurel: bad setting {said}")
    for name in ("LAUREL_TLS_CA_FILE", "LAUREL_ALLOW_PLAINTEXT_ON_NETWORK=true"):
        assert name in line
    with monkeypatch.context() as told:
        told.setenv("LAUREL_ALLOW_PLAINTEXT_ON_NETWORK", "true")
        assert LeaderboardSettings.load().progress_target == target
    monkeypatch.setenv("LAUREL_TLS_CA_FILE", str(files.ca))
    assert LeaderboardSettings.load().progress_target == target


@pytest.mark.parametrize(
    ("command", "name"),
    [
        (["top"], "LAUREL_LEADERBOARD_ADDRESS"),
        (["verify"], "LAUREL_PROGRESS_ADDRESS"),
        (["status"], "LAUREL_PROGRESS_ADDRESS"),
    ],
)
@pytest.mark.parametrize("target", ["progress:50051", "192.0.2.1:50051"])
def test_the_command_line_sends_no_token_in_the_open_unless_told_so(
    command: list[str], name: str, target: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, target)
    result = CliRunner().invoke(app, command)
    assert (result.exit_code, result.stdout) == (2, "")
    (line,) = result.stderr.splitlines()
    assert line.startswith(
        f"laurel: bad setting {name}: tokens would be sent to {target!r} without TLS"
    )


def test_the_command_line_calls_over_the_network_with_tls_or_when_told_so(
    files: CertificateFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAUREL_PROGRESS_ADDRESS", "node.example:50051")
    with monkeypatch.context() as told:
        told.setenv("LAUREL_ALLOW_PLAINTEXT_ON_NETWORK", "true")
        assert progress_peer().target == "node.example:50051"
    monkeypatch.setenv("LAUREL_TLS_CA_FILE", str(files.ca))
    assert progress_peer().target == "node.example:50051"
