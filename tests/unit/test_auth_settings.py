"""Services start only when they can tell who calls, or are told not to ask."""

import pytest

from leaderboard_service.settings import LeaderboardSettings
from progress_service.settings import ProgressSettings
from shared.settings import ServiceSettings
from tests.access import AUTH_SECRET
from tests.signing import SECRET


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AUTH", "AUTH_SECRET", "AUTH_JWKS", "CALL_TOKEN_FILE"):
        monkeypatch.delenv(f"LAUREL_{name}", raising=False)
    monkeypatch.setenv("LAUREL_TOKEN_SECRET", SECRET)
    monkeypatch.setenv("LAUREL_POSTGRES_URL", "postgresql:///laurel")
    monkeypatch.setenv("LAUREL_REDIS_URL", "redis://localhost/0")


def refusal(settings: type[ServiceSettings], capsys: pytest.CaptureFixture[str]) -> str:
    """The line that a process ends with."""
    with pytest.raises(SystemExit) as ended:
        settings.load()
    (line,) = capsys.readouterr().err.splitlines()
    assert ended.value.code == 2
    return line


@pytest.mark.parametrize("settings", [ProgressSettings, LeaderboardSettings])
@pytest.mark.parametrize("nothing", ["", ",", " , "])
def test_without_secret_and_key_set_one_line_names_them_and_the_way_without(
    settings: type[ServiceSettings],
    nothing: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("LAUREL_AUTH_SECRET", nothing)
    line = refusal(settings, capsys)
    for name in ("LAUREL_AUTH_SECRET", "LAUREL_AUTH_JWKS", "LAUREL_AUTH=off"):
        assert name in line


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("LAUREL_AUTH", "off"),
        ("LAUREL_AUTH_SECRET", AUTH_SECRET),
        ("LAUREL_AUTH_SECRET", f"{AUTH_SECRET}, {AUTH_SECRET[::-1]}"),
        ("LAUREL_AUTH_JWKS", "https://id.example/keys"),
    ],
)
def test_a_secret_or_a_key_set_is_enough(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    ProgressSettings.load()


def test_leaderboard_service_also_needs_something_to_call_with(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LAUREL_AUTH_JWKS", "https://id.example/keys")
    line = refusal(LeaderboardSettings, capsys)
    assert "LAUREL_AUTH_SECRET" in line
    assert "LAUREL_CALL_TOKEN_FILE" in line
    monkeypatch.setenv("LAUREL_CALL_TOKEN_FILE", "/run/secrets/token")
    LeaderboardSettings.load()


@pytest.mark.parametrize("secrets", ["short", f"{AUTH_SECRET},short", f"short,{AUTH_SECRET}"])
def test_each_of_several_secrets_must_be_long(
    secrets: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LAUREL_AUTH_SECRET", secrets)
    line = refusal(ProgressSettings, capsys)
    assert line == "laurel: bad setting LAUREL_AUTH_SECRET: must be at least 32 characters"
