"""Forged and broken tokens: none is accepted, and nothing of them is told."""

import base64
import json
import time
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from shared.auth import authenticator as module
from shared.auth.authenticator import Authenticator
from shared.errors import Unauthenticated
from tests.access import AUTH_SECRET
from tests.auth_keys import (
    OTHER_SECRET,
    claims,
    identified,
    reason,
    settings,
    signed,
    signing_key,
)


def encoded(part: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode()


def unsigned(algorithm: str) -> str:
    return f"Bearer {encoded({'alg': algorithm, 'typ': 'JWT'})}.{encoded(claims())}."


@pytest.mark.parametrize("algorithm", ["none", "None", "NONE", "nOnE"])
async def test_a_token_without_a_signature_is_invalid(algorithm: str) -> None:
    assert await reason(unsigned(algorithm)) == "TOKEN_INVALID"


@pytest.mark.parametrize("algorithm", ["HS384", "HS512"])
async def test_another_algorithm_is_refused_though_the_secret_is_right(algorithm: str) -> None:
    secret = AUTH_SECRET + "so that it is long enough for every algorithm"
    authorization = signed(secret, algorithm=algorithm)
    assert await reason(authorization, auth_secret=secret) == "TOKEN_INVALID"


async def test_another_secret_is_refused() -> None:
    assert await reason(signed(OTHER_SECRET)) == "TOKEN_INVALID"


async def test_without_a_secret_no_token_is_accepted_that_a_secret_has_signed() -> None:
    jwks = "https://id.example/keys"
    assert await reason(signed(), auth_secret=None, auth_jwks=jwks) == "TOKEN_INVALID"


async def test_each_of_two_secrets_verifies_while_one_is_replaced() -> None:
    both = f"{OTHER_SECRET}, {AUTH_SECRET}"
    for secret in (AUTH_SECRET, OTHER_SECRET):
        assert (await identified(signed(secret), auth_secret=both)).subject == "ada"


@pytest.mark.parametrize(
    "header",
    [
        {"crit": ["exp"], "exp": 1},
        {"crit": []},
        {"b64": False, "crit": ["b64"]},
        {"jku": "https://attacker.example/keys"},
        {"x5u": "https://attacker.example/chain"},
        {"jwk": {"kty": "oct", "k": "AAAA"}},
        {"x5c": ["AAAA"]},
        {"zip": "DEF"},
    ],
    ids=str,
)
async def test_a_header_that_brings_keys_or_conditions_is_refused(header: dict[str, Any]) -> None:
    signing_input = f"{encoded({'alg': 'HS256', 'typ': 'JWT', **header})}.{encoded(claims())}"
    digest = jwt.algorithms.HMACAlgorithm(jwt.algorithms.HMACAlgorithm.SHA256)
    signature = digest.sign(signing_input.encode(), AUTH_SECRET.encode())
    tail = base64.urlsafe_b64encode(signature).rstrip(b"=").decode()
    assert await reason(f"Bearer {signing_input}.{tail}") == "TOKEN_INVALID"


@pytest.mark.parametrize("form", [PublicFormat.SubjectPublicKeyInfo, PublicFormat.PKCS1])
async def test_a_public_key_is_no_secret(form: PublicFormat, tmp_path: Any) -> None:
    key = signing_key("one")
    pem = key.private.public_key().public_bytes(Encoding.PEM, form)
    digest = jwt.algorithms.HMACAlgorithm(jwt.algorithms.HMACAlgorithm.SHA256)
    signing_input = f"{encoded({'alg': 'HS256', 'kid': 'one'})}.{encoded(claims())}"
    tail = base64.urlsafe_b64encode(digest.sign(signing_input.encode(), pem)).rstrip(b"=").decode()
    forged = f"Bearer {signing_input}.{tail}"

    assert await reason(forged, auth_jwks=str(tmp_path / "keys")) == "TOKEN_INVALID"
    assert await reason(forged, auth_jwks=str(tmp_path / "keys"), auth_secret=None)


@pytest.mark.parametrize("chars", [module.MAX_TOKEN_CHARS + 1, 100_000])
async def test_a_long_token_is_refused(chars: int) -> None:
    authorization = signed(name="x" * chars)
    assert await reason(authorization) == "TOKEN_INVALID"


async def test_nothing_of_the_token_is_told(capfd: pytest.CaptureFixture[str]) -> None:
    forged = signed(OTHER_SECRET, subject="a-very-secret-name")
    with pytest.raises(Unauthenticated) as refused:
        await identified(forged)
    told = f"{refused.value.message}{refused.value.metadata}{capfd.readouterr()}"
    assert not any(part in told for part in forged.removeprefix("Bearer ").split("."))
    assert "a-very-secret-name" not in told
    assert AUTH_SECRET not in repr(settings()) + str(settings().model_dump())


parts = st.one_of(st.text(max_size=40), st.binary(max_size=40).map(lambda data: data.hex()))
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=8,
)
headers = st.dictionaries(
    st.sampled_from(["alg", "kid", "typ", "crit", "b64", "jku", "cty", "x"]),
    values | st.sampled_from(["HS256", "none", "RS256", "ES256", "PS256"]),
)
bodies = st.dictionaries(
    st.sampled_from(["sub", "exp", "aud", "iss", "iat", "nbf", "roles", "name", "jti"]),
    values | st.sampled_from(["laurel", 2**33]),
)
authenticator = Authenticator(settings())


def forged_form(header: object, body: object, signature: str) -> str:
    return f"Bearer {encoded(header)}.{encoded(body)}.{signature}"


@hypothesis_settings(max_examples=300, deadline=None)
@given(
    st.text(max_size=200)
    | st.text(max_size=200).map("Bearer {}".format)
    | st.tuples(parts, parts, parts).map(lambda three: "Bearer " + ".".join(three))
    | st.builds(forged_form, headers | values, bodies | values, parts)
)
async def test_whatever_is_sent_is_refused_as_unauthenticated(authorization: str) -> None:
    assert authenticator.known(authorization) is None
    with pytest.raises(Unauthenticated):
        await authenticator.identify(authorization)


@hypothesis_settings(deadline=None)
@given(bodies)
async def test_whatever_claims_are_signed_they_are_accepted_or_refused(
    body: dict[str, Any],
) -> None:
    token = jwt.encode({**claims(), **body}, AUTH_SECRET) if _encodable(body) else "x"
    try:
        identity = await authenticator.identify(f"Bearer {token}")
    except Unauthenticated:
        return
    assert identity.expires > time.time()
    assert len(identity.subject) <= 64
    (identity.name + identity.picture + identity.zoneinfo).encode()


def _encodable(body: dict[str, Any]) -> bool:
    return isinstance(body.get("iss", ""), str)
