"""Settings from the environment: a bad one is one clear line and exit status 2."""

from datetime import timedelta

import pytest
from pydantic import SecretStr, ValidationError

from leaderboard_service.settings import LeaderboardSettings
from progress_service.settings import ProgressSettings
from shared.settings import CommonSettings
from tests.access import AUTH_SECRET
from tests.signing import SECRET

URL = "postgresql://laurel:secret@db.example:5432/laurel"


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ProgressSettings.model_fields:
        monkeypatch.delenv(f"LAUREL_{name.upper()}", raising=False)
    monkeypatch.setenv("LAUREL_POSTGRES_URL", URL)
    monkeypatch.setenv("LAUREL_TOKEN_SECRET", SECRET)
    monkeypatch.setenv("LAUREL_AUTH_SECRET", AUTH_SECRET)


def test_unset_settings_have_their_documented_defaults() -> None:
    settings = ProgressSettings.load()
    assert (settings.progress_port, settings.leaderboard_port) == (50051, 50052)
    assert (settings.gateway_port, settings.metrics_port) == (8080, 9464)
    assert (settings.timezone, settings.bind_host) == ("UTC", "127.0.0.1")
    assert settings.progress_target == "127.0.0.1:50051"


def test_a_set_variable_counts_and_an_unknown_one_is_ignored(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("LAUREL_PROGRESS_PORT", "6000")
    monkeypatch.setenv("LAUREL_TIMEZONE", "Asia/Jakarta")
    monkeypatch.setenv("LAUREL_NO_SUCH_THING", "1")
    settings = ProgressSettings.load()
    assert settings.progress_target == "127.0.0.1:6000"
    assert settings.zone.key == "Asia/Jakarta"


@pytest.mark.parametrize(
    ("bind_host", "target"),
    [
        ("127.0.0.2", "127.0.0.2:50051"),
        ("0.0.0.0", "127.0.0.1:50051"),
        ("::1", "[::1]:50051"),
        ("::", "[::1]:50051"),
        ("node.example", "node.example:50051"),
        ("", "127.0.0.1:50051"),
    ],
)
def test_clients_on_this_machine_look_where_the_services_listen(
    bind_host: str, target: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAUREL_BIND_HOST", bind_host)
    settings = CommonSettings.load()
    assert settings.progress_target == target
    assert settings.leaderboard_target == target.replace("50051", "50052")
    monkeypatch.setenv("LAUREL_PROGRESS_ADDRESS", "elsewhere:1")
    assert CommonSettings.load().progress_target == "elsewhere:1"


def test_a_variable_that_is_set_to_nothing_is_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PROGRESS_PORT", "TIMEZONE", "HOME", "DRAIN_SECONDS", "GROUP_SIZE"):
        monkeypatch.setenv(f"LAUREL_{name}", "")
    assert ProgressSettings.load() == ProgressSettings(postgres_url=URL)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PROGRESS_PORT", "abc"),
        ("PROGRESS_PORT", "0"),
        ("PROGRESS_PORT", "65536"),
        ("METRICS_PORT", "-1"),
        ("TIMEZONE", "Mars/Olympus"),
        ("TIMEZONE", "/etc/passwd"),
        ("LOG_LEVEL", "loud"),
        ("LOG_FORMAT", "xml"),
        ("DRAIN_SECONDS", "-1"),
        ("TOKEN_SECRET", ""),
        ("TOKEN_SECRET", "secret" * 5),
        ("POSTGRES_URL", ""),
        ("POSTGRES_URL", "mysql://laurel:secret@db.example/laurel"),
        ("POSTGRES_URL", "postgresql://laurel:secret@db.example:port/laurel"),
        ("POSTGRES_POOL_SIZE", "3"),
        ("GROUP_SIZE", "0"),
        ("GROUP_WRITERS", "0"),
        ("QUEUE_SIZE", "0"),
        ("SEQUENCER_BATCH", "0"),
        ("SEQUENCER_LEASE_SECONDS", "0"),
        ("CHECKPOINT_SECONDS", "16"),
    ],
)
def test_a_bad_setting_is_one_line_that_names_it_and_tells_no_secret(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(f"LAUREL_{name}", value)
    with pytest.raises(SystemExit) as caught:
        ProgressSettings.load()
    line = capsys.readouterr().err
    assert caught.value.code == 2
    assert line.startswith(f"laurel: bad setting LAUREL_{name}: ")
    assert line.count("\n") == 1
    assert "secret" not in line


@pytest.mark.parametrize("name", ["POSTGRES_URL", "TOKEN_SECRET"])
def test_a_missing_setting_must_be_set(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv(f"LAUREL_{name}")
    with pytest.raises(SystemExit) as caught:
        ProgressSettings.load()
    assert caught.value.code == 2
    assert capsys.readouterr().err == f"laurel: bad setting LAUREL_{name}: must be set\n"


def test_no_secret_is_in_the_settings_text() -> None:
    settings = ProgressSettings.load()
    for text in (repr(settings), str(settings), settings.model_dump_json()):
        assert SECRET not in text
    assert "secret" not in repr(settings).replace("token_secret", "").replace("auth_secret", "")


def test_no_secret_is_in_the_error_about_a_setting() -> None:
    secret = SecretStr("secret" * 5)
    with pytest.raises(ValidationError) as caught:
        ProgressSettings(token_secret=secret, postgres_url="mysql://laurel:secret@x/y")
    assert "secret" not in str(caught.value).replace("token_secret", "").replace("auth_secret", "")


@pytest.mark.parametrize("partitions", [0, 65])
def test_a_board_has_as_many_parts_as_a_read_can_ask(partitions: int) -> None:
    with pytest.raises(ValidationError, match="partitions"):
        LeaderboardSettings(redis_url="redis://one", partitions=partitions)
    for known in (1, 64):
        settings = LeaderboardSettings(redis_url="redis://one", partitions=known)
        assert settings.partitions == known


def test_how_much_of_the_history_is_kept_is_told_by_age_and_number(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kept = ProgressSettings.load()
    assert (kept.history_keep, kept.history_keep_changes) == (timedelta(days=7), 1_000_000)
    for text, age in (("P30D", timedelta(days=30)), ("PT0S", timedelta())):
        monkeypatch.setenv("LAUREL_HISTORY_KEEP", text)
        assert ProgressSettings.load().history_keep == age
    for name, text in (("KEEP", "-P1D"), ("KEEP", "ever"), ("KEEP_CHANGES", "-1")):
        with monkeypatch.context() as one:
            one.setenv(f"LAUREL_HISTORY_{name}", text)
            with pytest.raises(SystemExit):
                ProgressSettings.load()
