"""Which keys of a JWKS document verify tokens, and where one may come from."""

import json
import os
import ssl
import time
from pathlib import Path
from typing import Any

import pytest
import trustme
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

from shared.auth.key_set import MAX_TRIES, parse_key_set
from shared.auth.key_source import MAX_BYTES, KeySetError, check_source, read_source
from shared.settings import ServiceSettings
from tests.auth_keys import DRIPS, Provider, SigningKey, key_set, publishing, signing_key

RSA, EC = signing_key("rsa"), signing_key("ec", "ES256")


def found(document: bytes, algorithm: str, key_id: str | None) -> list[str | None]:
    """The ids of the keys that a token of this header is tried with."""
    return [key.key_id for key in parse_key_set(document).candidates(algorithm, key_id)]


def test_a_key_is_found_by_its_algorithm_and_id() -> None:
    document = key_set(RSA, EC)
    assert found(document, "RS256", "rsa") == ["rsa"]
    assert found(document, "ES256", "ec") == ["ec"]
    assert found(document, "ES256", "rsa") == []
    assert found(document, "RS256", "other") == []


def test_a_token_without_an_id_is_tried_with_each_key_of_its_algorithm_up_to_a_bound() -> None:
    many = [RSA.jwk(kid=str(number)) for number in range(20)]
    assert found(key_set(EC, *many[:3]), "RS256", None) == ["0", "1", "2"]
    assert len(found(key_set(EC, *many), "RS256", None)) == MAX_TRIES


def test_a_key_need_say_no_more_than_what_it_is() -> None:
    document = key_set(RSA.jwk(kid=None, alg=None, use=None), EC.jwk(alg=None, use=None))
    assert found(document, "RS256", None) == [None]
    assert found(document, "ES256", "ec") == ["ec"]


@pytest.mark.parametrize(
    "member",
    [
        RSA.jwk(use="enc"),
        RSA.jwk(alg="RS512"),
        RSA.jwk(alg="PS256"),
        RSA.jwk(alg="HS256"),
        RSA.jwk(alg="ES256"),
        RSA.jwk(key_ops=["encrypt"]),
        RSA.jwk(key_ops="verify"),
        RSA.jwk(kid=7),
        RSA.jwk(n=None),
        RSA.jwk(n=7),
        RSA.jwk(n="!"),
        RSA.jwk(e="AA"),
        RSA.jwk(kty=["RSA"]),
        EC.jwk(crv="P-384"),
        EC.jwk(crv="P-521"),
        EC.jwk(x="AAAA"),
        EC.jwk(x=EC.jwk()["y"]),
        EC.jwk(alg="RS256"),
        {"kty": "oct", "k": "A" * 64, "alg": "HS256", "kid": "secret"},
        {"kty": "oct", "k": "A" * 64, "alg": "RS256", "kid": "secret"},
        {"kty": "OKP", "crv": "Ed25519", "x": "A" * 43, "kid": "ed"},
        RSAAlgorithm.to_jwk(RSA.private, as_dict=True),
        ECAlgorithm.to_jwk(EC.private, as_dict=True),
        SigningKey("weak", bits=1024).jwk(),
        {},
        None,
        "RSA",
        [],
    ],
)
def test_a_key_that_is_for_something_else_or_no_good_is_passed_over(member: Any) -> None:
    usable = signing_key("usable").jwk()
    assert len(parse_key_set(key_set(member, usable))) == 1
    with pytest.raises(KeySetError, match="no public key"):
        parse_key_set(key_set(member))


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"{",
        b"[]",
        b"{}",
        b'{"keys": {}}',
        b'{"keys": []}',
        b"null",
        b"\xff\xfe",
        b"[" * 99_999,
    ],
    ids=lambda document: repr(document[:20]),
)
def test_a_document_that_is_no_key_set_is_refused(document: bytes) -> None:
    with pytest.raises(KeySetError):
        parse_key_set(document)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=5,
)


@hypothesis_settings(deadline=None)
@given(
    st.sampled_from([RSA.jwk(), EC.jwk()]),
    st.dictionaries(
        st.sampled_from(["kty", "crv", "n", "e", "x", "y", "kid", "use", "alg", "key_ops", "d"]),
        json_values | st.sampled_from(["RSA", "EC", "P-256", "RS256", "AQAB", "AA", "_" * 342]),
        min_size=1,
    ),
)
def test_whatever_a_key_set_has_in_it_breaks_nothing(
    member: dict[str, Any], changes: dict[str, Any]
) -> None:
    document = json.dumps({"keys": [{**member, **changes}, signing_key("usable").jwk()]})
    assert len(parse_key_set(document.encode())) in {1, 2}


@pytest.mark.parametrize(
    "source",
    [
        "/etc/laurel/keys.json",
        "keys.json",
        "https://id.example/keys",
        "https://id.example:8443/keys?tenant=a",
        "http://127.0.0.1:9/keys",
        "http://127.9.9.9/keys",
        "http://[::1]:9/keys",
        "http://localhost/keys",
    ],
)
def test_a_key_set_may_come_from_a_file_or_over_https(source: str) -> None:
    assert check_source(source) == source


@pytest.mark.parametrize(
    "source",
    [
        "http://id.example/keys",
        "http://localhost.example/keys",
        "http://127.0.0.1.example/keys",
        "http://10.0.0.1/keys",
        "ftp://id.example/keys",
        "file:///etc/passwd",
        "https://",
        "https:///keys",
        "https://user:secret@id.example/keys",
        "https://id.example:port/keys",
        "https://id.example:99999/keys",
        "https://[::1/keys",
        "https://id.example/a b",
        "https://id.example/a\r\nb: c",
    ],
)
def test_a_key_set_from_elsewhere_is_one_line_and_exit_status_2(
    source: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LAUREL_AUTH_JWKS", source)
    with pytest.raises(SystemExit) as ended:
        ServiceSettings.load()
    error = capsys.readouterr().err
    assert ended.value.code == 2
    assert error.startswith("laurel: bad setting LAUREL_AUTH_JWKS: ")
    assert error.count("\n") == 1
    assert "secret" not in error


def test_a_key_set_is_read_from_a_url() -> None:
    provider = Provider(key_set(RSA))
    with publishing(provider):
        assert read_source(provider.url) == provider.document


def test_over_https_only_a_provider_with_a_trusted_certificate_is_believed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = trustme.CA()
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(tls)
    provider = Provider(key_set(RSA))
    with publishing(provider, tls=tls):
        with pytest.raises(KeySetError, match="CERTIFICATE_VERIFY_FAILED"):
            read_source(provider.url)
        authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
        assert read_source(provider.url) == provider.document


def test_no_redirect_is_followed() -> None:
    provider, other = Provider(b""), Provider(key_set(RSA))
    with publishing(provider), publishing(other):
        provider.status, provider.headers = 302, {"Location": other.url}
        with pytest.raises(KeySetError, match="HTTP status 302"):
            read_source(provider.url)
    assert other.reads == 0


@pytest.mark.parametrize("status", [204, 301, 404, 500])
def test_any_other_status_is_a_failure(status: int) -> None:
    provider = Provider(key_set(RSA) if status != 204 else b"")
    provider.status = status
    with publishing(provider), pytest.raises(KeySetError):
        parse_key_set(read_source(provider.url))


def test_a_key_set_over_its_bound_is_not_read_to_its_end(tmp_path: Path) -> None:
    provider = Provider(b" " * (MAX_BYTES + 1))
    (tmp_path / "keys").write_bytes(provider.document)
    with publishing(provider), pytest.raises(KeySetError, match="longer than"):
        read_source(provider.url)
    with pytest.raises(KeySetError, match="longer than"):
        read_source(str(tmp_path / "keys"))


def test_a_provider_that_does_not_answer_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shared.auth.key_source.TIMEOUT_S", 0.2)
    provider = Provider(key_set(RSA))
    provider.may_answer.clear()
    with publishing(provider):
        with pytest.raises(KeySetError, match="timed out"):
            read_source(provider.url)
        url = provider.url
    with pytest.raises(KeySetError, match="refused"):
        read_source(url)


def test_a_file_that_is_not_there_is_a_failure(tmp_path: Path) -> None:
    for path in (tmp_path / "none", tmp_path):
        with pytest.raises(KeySetError):
            read_source(str(path))


@pytest.mark.parametrize("drips", DRIPS.values(), ids=DRIPS)
def test_however_slowly_an_answer_comes_in_a_read_ends_in_time(
    drips: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.auth.key_source.TOTAL_S", 0.5)
    provider = Provider(key_set(RSA))
    provider.drips = drips
    with publishing(provider):
        started = time.monotonic()
        with pytest.raises(KeySetError, match=r"takes too long|timed out"):
            read_source(provider.url)
        assert 0.4 <= time.monotonic() - started < 3
        provider.drips = b""
        assert read_source(provider.url) == provider.document


def test_so_it_does_over_https_with_a_byte_in_each_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.auth.key_source.TOTAL_S", 0.5)
    authority = trustme.CA()
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(tls)
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    provider = Provider(key_set(RSA))
    provider.drips = DRIPS["head"]
    with publishing(provider, tls=tls):
        started = time.monotonic()
        with pytest.raises(KeySetError, match=r"takes too long|timed out"):
            read_source(provider.url)
        assert time.monotonic() - started < 3


def test_a_pipe_that_nobody_writes_to_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "keys")
    with pytest.raises(KeySetError, match="not a file"):
        read_source(str(tmp_path / "keys"))
