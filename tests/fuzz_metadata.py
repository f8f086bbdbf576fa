"""What a call says beside its request: odd, over-long, forged, or signed and senseless."""

import json
import time
from typing import Any

from hypothesis import strategies as st
from jwt.api_jws import PyJWS

from tests.access import AUTH_SECRET
from tests.byte_call import Metadata

_LONG = 6_000
_PRINTABLE = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=40)
_JSON: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | st.text(max_size=12)
    | st.sampled_from(["ann", "root", "admin", "a b", "x" * 5_000, "\x00", "{}", "../..", "~1"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_PRINTABLE, inner, max_size=4),
    max_leaves=8,
)
_CLAIMS = ["sub", "exp", "nbf", "iat", "aud", "iss", "roles", "name", "picture", "zoneinfo", "jti"]
_HEADERS: list[dict[str, Any]] = [
    {},
    {"kid": "../../../dev/null"},
    {"kid": "k' OR 1=1"},
    {"jku": "https://example.com/keys"},
    {"jwk": {"kty": "oct", "k": "AA"}},
    {"x5u": "file:///etc/passwd"},
    {"crit": ["exp"]},
    {"b64": False, "crit": ["b64"]},
    {"typ": ["JWT"]},
    {"zip": "DEF"},
]
_NOT_TOKENS = [
    "",
    " ",
    "Bearer",
    "Bearer ",
    "Bearer  ",
    "bearer x",
    "Basic YWRtaW46YWRtaW4=",
    "Bearer ..",
    "Bearer ...",
    "Bearer a.b.c",
    "Bearer a.b.c.d.e",
    "Bearer eyJhbGciOiJub25lIn0.e30.",
    "Bearer eyJhbGciOiJIUzI1NiJ9.e30.AA",
    "Bearer bnVsbA.bnVsbA.AA",
    "Bearer W10.W10.AA",
    "Bearer " + "[" * 100,
    "Bearer " + "a" * _LONG,
    "Bearer " + "." * _LONG,
    "Bearer Bearer x",
]


@st.composite
def _signed(draw: st.DrawFn) -> str:
    """A token with a true signature, and some claims that no issuer would make."""
    claims: dict[str, Any] = {
        "sub": "ann",
        "aud": "laurel",
        "exp": int(time.time()) + 600,
        "roles": ["service"],
    }
    claims |= draw(st.dictionaries(st.sampled_from(_CLAIMS), _JSON, min_size=1, max_size=4))
    for gone in draw(st.lists(st.sampled_from(_CLAIMS), max_size=1)):
        claims.pop(gone, None)
    return f"Bearer {_encoded(claims, draw(st.sampled_from(_HEADERS)))}"


def _encoded(claims: dict[str, Any], headers: dict[str, Any]) -> str:
    """As `jwt.encode` does, which refuses some claims."""
    return PyJWS().encode(json.dumps(claims).encode(), AUTH_SECRET, "HS256", headers or None)


_TEXT = _PRINTABLE | st.sampled_from(["x" * 64, "x" * 65, "x" * _LONG, "a b", '"}\\n{"', ""])
_SAID: dict[str, st.SearchStrategy[str | bytes]] = {
    "x-request-id": _TEXT,
    "x-laurel-actor": _TEXT,
    "x-unknown": _TEXT,
    "user-agent": _TEXT,
    "grpc-status-details-bin": st.binary(max_size=40),
    "x-unknown-bin": st.binary(max_size=40),
    "grpc-previous-rpc-attempts": _TEXT,
    "content-type": st.sampled_from(["text/html", "application/grpc+json", ""]),
    "te": st.sampled_from(["", "gzip"]),
}


def said(valid: str) -> st.SearchStrategy[Metadata]:
    """What a call says: a token that is valid, none, senseless or no token, at times twice; and
    other things.
    """
    authorization = st.tuples(
        st.just("authorization"), st.sampled_from(_NOT_TOKENS) | _signed() | st.just(valid)
    )
    others = st.sampled_from(sorted(_SAID)).flatmap(lambda key: st.tuples(st.just(key), _SAID[key]))
    return st.builds(
        lambda tokens, rest: (*tokens, *rest),
        st.lists(authorization, max_size=2),
        st.lists(others, max_size=3),
    )


TIMEOUTS = st.none() | st.sampled_from([0.0, 1e-9, 1e-4, 0.001, 0.01, 3600.0, 1e7])
"""How long the caller waits; None: as long as usual."""
