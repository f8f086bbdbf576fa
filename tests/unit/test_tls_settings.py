"""TLS and exposure in the settings: what could not work, or lets others in, is refused."""

from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import Any

import pytest
import trustme
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
)
from hypothesis import given
from hypothesis import strategies as st

from leaderboard_service.settings import LeaderboardSettings
from progress_service.settings import ProgressSettings
from shared.embedded.settings import EmbeddedSettings, GatewaySettings
from shared.exposure import is_this_machine
from shared.settings import CommonSettings, ServiceSettings
from tests.certificates import CertificateFiles

REQUIRED = {
    "POSTGRES_URL": "postgresql://db.example/laurel",
    "REDIS_URL": "redis://store.example/0",
}
SERVICES: list[type[ServiceSettings]] = [ProgressSettings, LeaderboardSettings]
LISTENERS: list[type[CommonSettings]] = [*SERVICES, GatewaySettings, EmbeddedSettings]

Refused = Callable[..., str]


@pytest.fixture
def files(tmp_path: Path) -> CertificateFiles:
    return CertificateFiles(tmp_path, trustme.CA())


@pytest.fixture
def refused(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Refused:
    """The line that a process with these settings ends with, exit status 2."""

    def line(kind: type[CommonSettings] = ProgressSettings, **settings: object) -> str:
        for name, value in {**REQUIRED, **settings}.items():
            monkeypatch.setenv(f"LAUREL_{name.upper()}", str(value))
        with pytest.raises(SystemExit) as caught:
            kind.load()
        assert caught.value.code == 2
        said = capsys.readouterr().err
        assert said.count("\n") == 1
        assert "PRIVATE KEY" not in said
        return said.removeprefix("laurel: bad setting ").strip()

    return line


def settings(kind: type[CommonSettings], **fields: Any) -> CommonSettings:
    stores = {name.lower(): value for name, value in REQUIRED.items()}
    return kind(**{**stores, **fields})


@pytest.mark.parametrize("kind", [CommonSettings, *LISTENERS])
def test_a_pair_and_its_authorities_are_taken(
    kind: type[CommonSettings], files: CertificateFiles
) -> None:
    taken = settings(kind, **files.settings())
    assert (taken.tls_cert_file, taken.tls_key_file) == (files.cert, files.key)


def test_a_certificate_needs_its_key_and_a_key_its_certificate(
    files: CertificateFiles, refused: Refused, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert refused(tls_cert_file=files.cert) == (
        "LAUREL_TLS_KEY_FILE: must be set together with LAUREL_TLS_CERT_FILE"
    )
    monkeypatch.delenv("LAUREL_TLS_CERT_FILE")
    assert refused(tls_key_file=files.key) == (
        "LAUREL_TLS_CERT_FILE: must be set together with LAUREL_TLS_KEY_FILE"
    )


@pytest.mark.parametrize("without", ["tls_ca_file", "tls_cert_file"])
def test_client_certificates_can_only_be_asked_for_with_authorities_and_a_certificate(
    without: str, files: CertificateFiles, refused: Refused
) -> None:
    given = files.settings(tls_client_auth="true")
    del given[without]
    if without == "tls_cert_file":
        del given["tls_key_file"]
    assert refused(**given) == (
        "LAUREL_TLS_CLIENT_AUTH: needs LAUREL_TLS_CERT_FILE and LAUREL_TLS_CA_FILE"
    )


@pytest.mark.parametrize("name", ["tls_cert_file", "tls_key_file", "tls_ca_file"])
def test_a_file_that_cannot_be_used_is_named_by_its_setting(
    name: str, files: CertificateFiles, refused: Refused, tmp_path: Path
) -> None:
    empty, half, text = (tmp_path / file for file in ("empty", "half", "text"))
    whole = files.settings()[name].read_bytes()
    empty.write_bytes(b"")
    half.write_bytes(whole[: len(whole) // 2])
    text.write_bytes(b"\xff\x00not PEM")
    for path in (empty, half, text, tmp_path, tmp_path / "none"):
        line = refused(**files.settings(**{name: path}))
        assert line.startswith(f"LAUREL_{name.upper()}: "), line


def test_a_bundle_that_ends_within_a_certificate_is_refused_as_a_whole(
    files: CertificateFiles, refused: Refused
) -> None:
    files.ca.write_bytes(files.ca.read_bytes() + files.ca.read_bytes()[:200])
    assert refused(**files.settings()) == (
        "LAUREL_TLS_CA_FILE: does not hold whole certificates in PEM form"
    )


def test_the_key_of_another_certificate_is_refused(
    files: CertificateFiles, refused: Refused, tmp_path: Path
) -> None:
    other = CertificateFiles(tmp_path / "other", trustme.CA())
    assert refused(**files.settings(tls_key_file=other.key)) == (
        "LAUREL_TLS_KEY_FILE: is not the key of the certificate in LAUREL_TLS_CERT_FILE"
    )


@pytest.mark.parametrize(
    ("key", "encryption", "reason"),
    [
        (rsa.generate_private_key(65537, 1024), NoEncryption(), "must be RSA of at least 2048"),
        (ec.generate_private_key(ec.SECP521R1()), NoEncryption(), "must be RSA of at least 2048"),
        (ed25519.Ed25519PrivateKey.generate(), NoEncryption(), "must be RSA of at least 2048"),
        (
            ec.generate_private_key(ec.SECP256R1()),
            BestAvailableEncryption(b"passphrase"),
            "does not hold a key in PEM form, without a passphrase",
        ),
    ],
    ids=["short", "curve", "ed25519", "passphrase"],
)
def test_a_key_that_no_handshake_can_be_made_with_is_refused(
    key: Any,
    encryption: KeySerializationEncryption,
    reason: str,
    files: CertificateFiles,
    refused: Refused,
) -> None:
    files.key.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption))
    assert refused(**files.settings()).startswith(f"LAUREL_TLS_KEY_FILE: {reason}")


@pytest.mark.parametrize("kind", LISTENERS)
@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "2001:db8::1", "node.example"])
def test_nothing_listens_to_others_without_tls_unless_told_so(
    kind: type[CommonSettings],
    host: str,
    files: CertificateFiles,
    refused: Refused,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    line = refused(kind, bind_host=host)
    assert line.startswith(f"LAUREL_BIND_HOST: others than this machine could call {host!r}")
    assert "LAUREL_ALLOW_PLAINTEXT_ON_NETWORK=true" in line
    assert settings(kind, allow_plaintext_on_network=True).bind_host == host
    assert settings(kind, **files.settings()).bind_host == host


@pytest.mark.parametrize("kind", SERVICES)
def test_nobody_else_calls_without_a_token_unless_told_so(
    kind: type[CommonSettings], files: CertificateFiles, refused: Refused
) -> None:
    line = refused(kind, bind_host="0.0.0.0", auth="off", **files.settings())
    assert line.startswith("LAUREL_BIND_HOST: others than this machine could call '0.0.0.0' with")
    assert "LAUREL_ALLOW_NO_AUTH_ON_NETWORK=true" in line
    assert settings(kind, allow_no_auth_on_network=True).bind_host == "0.0.0.0"
    assert settings(kind, bind_host="127.0.0.1").bind_host == "127.0.0.1"


def test_the_gateway_for_administrators_is_not_shown_to_others_without_tls(
    files: CertificateFiles, refused: Refused
) -> None:
    line = refused(GatewaySettings, admin_gateway_host="0.0.0.0")
    assert line.startswith("LAUREL_ADMIN_GATEWAY_HOST: others than this machine could call")
    assert settings(GatewaySettings, admin_gateway_port=0).bind_host == "127.0.0.1"
    assert settings(GatewaySettings, **files.settings()).bind_host == "127.0.0.1"


def test_the_command_line_may_look_where_others_listen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAUREL_BIND_HOST", "0.0.0.0")
    assert CommonSettings.load().progress_target == "127.0.0.1:50051"


@pytest.mark.parametrize(
    ("bind_host", "metrics_host", "listens"),
    [
        ("127.0.0.1", "", "127.0.0.1"),
        ("127.0.0.2", "", "127.0.0.2"),
        ("::1", "", "::1"),
        ("0.0.0.0", "", "127.0.0.1"),
        ("node.example", "", "127.0.0.1"),
        ("127.0.0.1", "0.0.0.0", "0.0.0.0"),
    ],
)
def test_metrics_are_for_this_machine_unless_told_otherwise(
    bind_host: str, metrics_host: str, listens: str
) -> None:
    taken = CommonSettings(bind_host=bind_host, metrics_host=metrics_host)
    assert taken.metrics_bind_host == listens


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST", "127.0.0.1", "127.8.9.1", "::1"])
def test_loopback_addresses_are_this_machine(host: str) -> None:
    assert is_this_machine(host)


@given(st.ip_addresses(v=4))
def test_an_address_is_this_machine_only_within_127(address: IPv4Address) -> None:
    loopback = address.packed[0] == 127
    assert is_this_machine(str(address)) == loopback
    assert is_this_machine(f"::ffff:{address}") == loopback


@given(st.ip_addresses(v=6))
def test_an_ipv6_address_is_this_machine_only_as_1(address: IPv6Address) -> None:
    mapped = address.ipv4_mapped
    expected = address == IPv6Address(1) or (mapped is not None and mapped.is_loopback)
    assert is_this_machine(str(address)) == expected


@given(st.text().filter(lambda text: text.lower() != "localhost"))
def test_no_other_text_is_this_machine(text: str) -> None:
    try:
        IPv4Address(text)
    except ValueError:
        if ":" not in text:
            assert not is_this_machine(text)


@pytest.mark.parametrize("missing", ["tls_ca_file", "tls_cert_file"])
def test_a_stack_that_would_not_reach_itself_is_refused(
    missing: str, files: CertificateFiles, refused: Refused
) -> None:
    given = files.settings()
    del given[missing]
    if missing == "tls_cert_file":
        del given["tls_key_file"]
    line = refused(EmbeddedSettings, **given)
    assert line.startswith("LAUREL_TLS_CA_FILE: must be set together with LAUREL_TLS_CERT_FILE")
