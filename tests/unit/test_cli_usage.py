import sys
from importlib.metadata import version
from pathlib import Path

import pytest
from typer.testing import CliRunner

from shared.cli.main import app
from tests.unit.oulad_folder import write_folder

NOBODY = "127.0.0.1:1"


@pytest.fixture(autouse=True)
def _nobody_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAUREL_PROGRESS_ADDRESS", NOBODY)
    monkeypatch.setenv("LAUREL_LEADERBOARD_ADDRESS", NOBODY)


@pytest.mark.parametrize("args", [["version"], ["--version"]])
def test_the_version_is_that_of_the_package(args: list[str]) -> None:
    result = CliRunner().invoke(app, args)
    assert result.exit_code == 0
    assert result.stdout == f"laurel {version('laurel')}\n"


def test_help_names_every_command() -> None:
    result = CliRunner().invoke(app, ["--help"])
    assert result.exit_code == 0
    commands = {line.strip("│ ").split(" ")[0] for line in result.stdout.splitlines()}
    assert commands >= {
        "backfill",
        "import",
        "rank",
        "rebuild",
        "review",
        "status",
        "top",
        "up",
        "verify",
        "verify-boards",
        "version",
    }


@pytest.mark.parametrize(
    ("command", "options"),
    [
        ("top", {"--metric", "--course", "--window", "--period", "--mode", "--limit"}),
        ("top", {"--after", "--user", "--also", "--json"}),
        ("rank", {"--metric", "--course", "--window", "--period", "--mode", "--json"}),
        ("rebuild", {"--json"}),
        ("verify-boards", {"--metric", "--course", "--window", "--period", "--repair", "--json"}),
        ("status", {"--watch", "--json"}),
        ("review", {"--limit", "--after", "--json", "accept", "reject"}),
    ],
)
def test_the_help_of_a_command_names_its_options(command: str, options: set[str]) -> None:
    result = CliRunner().invoke(app, [command, "--help"], env={"NO_COLOR": "1"})
    assert result.exit_code == 0
    assert options <= set(result.stdout.split())


def test_up_without_its_extra_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "shared.cli.up", raising=False)
    monkeypatch.setitem(sys.modules, "psutil", None)
    for name in [name for name in sys.modules if name.startswith("shared.embedded")]:
        monkeypatch.delitem(sys.modules, name)
    result = CliRunner().invoke(app, ["up"])
    assert result.exit_code == 1
    assert "pip install 'laurel[embedded]'" in result.stderr
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "args",
    [
        ["fly"],
        ["rank"],
        ["top", "--window", "decade"],
        ["top", "--limit", "0"],
        ["top", "--limit", "501"],
        ["top", "--limit", "many"],
        ["top", "--mode", "sparse"],
        ["top", "--also", "decade"],
        ["rank", "ada", "--mode", "sparse"],
        ["rebuild", "xp"],
        ["verify-boards", "--window", "decade"],
        ["import", "moodle", "."],
        ["import", "oulad"],
        ["import", "oulad", "/no/such/folder"],
        ["import", "oulad", ".", "--batch", "0"],
        ["import", "oulad", ".", "--batch", "1001"],
    ],
)
def test_wrong_usage_exits_2_and_prints_nothing_on_stdout(args: list[str]) -> None:
    result = CliRunner().invoke(app, args)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr


@pytest.mark.parametrize(
    "args",
    [["top"], ["rank", "ada"], ["rebuild"], ["verify-boards"], ["status"], ["status", "--watch"]],
)
def test_a_bad_setting_is_one_line_and_exits_2(
    monkeypatch: pytest.MonkeyPatch, args: list[str]
) -> None:
    monkeypatch.setenv("LAUREL_PROGRESS_PORT", "70000")
    result = CliRunner().invoke(app, args)
    assert result.exit_code == 2
    assert result.stderr.startswith("laurel: bad setting LAUREL_PROGRESS_PORT")
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("args", "service"),
    [
        (["top"], "LeaderboardService"),
        (["top", "--json"], "LeaderboardService"),
        (["rank", "ada"], "LeaderboardService"),
        (["rebuild"], "LeaderboardService"),
        (["verify-boards"], "LeaderboardService"),
        (["import", "oulad", "{folder}"], "ProgressService"),
    ],
)
def test_a_service_that_is_not_there_is_one_line_and_exits_1(
    tmp_path: Path, args: list[str], service: str
) -> None:
    folder = str(write_folder(tmp_path))
    result = CliRunner().invoke(app, [arg.format(folder=folder) for arg in args])
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr.startswith(f"laurel: UNAVAILABLE: no answer from {service} at {NOBODY}")
    assert result.stderr.count("\n") == 1
