"""When TLS files are read again, and what is said about them."""

from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
import trustme
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from shared import tls
from shared.bad_setting import BadSetting
from shared.settings import CommonSettings, ServiceSettings
from shared.tls import channel_credentials, server_credentials
from shared.tls_files import TlsFiles, TlsMaterial, check
from tests.certificates import CertificateFiles

CHANGED = "tls files have changed: new connections use them"
REFUSED = "tls files not used, the last good ones are"


@pytest.fixture
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def files(tmp_path: Path, authority: trustme.CA) -> CertificateFiles:
    return CertificateFiles(tmp_path, authority)


@pytest.fixture
def looks_always(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tls, "LOOK_S", 0.0)


def test_without_files_there_is_no_tls() -> None:
    assert server_credentials(ServiceSettings()) is None
    assert channel_credentials(CommonSettings()) is None


def test_a_certificate_alone_makes_no_call_use_tls(files: CertificateFiles) -> None:
    settings = ServiceSettings(tls_cert_file=files.cert, tls_key_file=files.key)
    assert server_credentials(settings) is not None
    assert channel_credentials(settings) is None


@pytest.mark.usefixtures("looks_always")
def test_files_that_cannot_be_used_are_told_once_until_they_can(
    files: CertificateFiles, authority: trustme.CA
) -> None:
    newest = channel_credentials(CommonSettings(**files.settings()))
    assert newest is not None
    first = newest()
    with capture_logs() as logs:
        for spoilt in (b"", files.ca.read_bytes(), files.cert.read_bytes()[:99]):
            files.cert.write_bytes(spoilt)
            assert newest() is first
            assert newest() is first
        files.issue(authority)
        second = newest()
        assert second is not first
        assert newest() is second
        files.key.unlink()
        assert newest() is second
    assert [line["event"] for line in logs] == [REFUSED, CHANGED, REFUSED]
    assert logs[-1]["reason"] == "LAUREL_TLS_KEY_FILE: cannot be read: No such file or directory"


@pytest.mark.usefixtures("looks_always")
def test_files_that_come_back_as_they_were_change_nothing(files: CertificateFiles) -> None:
    newest = channel_credentials(CommonSettings(**files.settings()))
    assert newest is not None
    first, whole = newest(), files.key.read_bytes()
    with capture_logs() as logs:
        files.key.write_bytes(whole[:30])
        assert newest() is first
        files.key.write_bytes(whole)
        assert newest() is first
    assert [line["event"] for line in logs] == [REFUSED]


def test_files_that_were_spoilt_since_the_settings_were_read_end_the_process(
    files: CertificateFiles, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = ServiceSettings(**files.settings())
    files.key.write_bytes(b"")
    with pytest.raises(SystemExit) as caught:
        server_credentials(settings)
    assert caught.value.code == 2
    assert capsys.readouterr().err == (
        "laurel: bad setting LAUREL_TLS_KEY_FILE: does not hold a key in PEM form, without a "
        "passphrase\n"
    )


def test_a_key_that_others_may_read_is_warned_of(files: CertificateFiles) -> None:
    settings = ServiceSettings(**files.settings())
    with capture_logs() as logs:
        server_credentials(settings)
        assert logs == []
        files.key.chmod(0o644)
        server_credentials(settings)
    assert [line["log_level"] for line in logs] == ["warning"]


@pytest.mark.usefixtures("looks_always")
def test_the_metrics_say_when_the_newest_certificate_ends(
    files: CertificateFiles, authority: trustme.CA
) -> None:
    server_credentials(ServiceSettings(**files.settings()))
    ends = []
    for end in ("2035-01-01", "2036-01-01"):
        files.issue(authority, not_after=datetime.fromisoformat(end).replace(tzinfo=UTC))
        ends.append(REGISTRY.get_sample_value("laurel_tls_certificate_end_timestamp_seconds"))
    assert ends == [datetime(year, 1, 1, tzinfo=UTC).timestamp() for year in (2035, 2036)]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> TlsMaterial:
    made = CertificateFiles(tmp_path_factory.mktemp("whole"), trustme.CA())
    return TlsFiles(made.cert, made.key, made.ca).read()


@given(
    which=st.sampled_from(["certificate", "key", "authorities"]),
    start=st.integers(0, 1500),
    length=st.integers(0, 1500),
    filling=st.binary(max_size=40),
)
def test_whatever_is_written_over_a_file_it_is_usable_or_a_bad_setting(
    whole: TlsMaterial, which: str, start: int, length: int, filling: bytes
) -> None:
    text = getattr(whole, which)
    spoilt = text[:start] + filling + text[start + length :]
    with suppress(BadSetting):
        check(replace(whole, **{which: spoilt}))
