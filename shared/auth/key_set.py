"""The keys of a JWKS document that tokens may be verified with."""

import json
from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any

from jwt import PyJWK
from jwt.exceptions import PyJWTError

from shared.auth.key_source import KeySetError

ALGORITHMS = ("RS256", "ES256")
MAX_TRIES = 8
"""The most keys that one token is tried with."""


class KeySet:
    """Usable keys, by algorithm and then by id."""

    def __init__(self, keys: Sequence[PyJWK]) -> None:
        self._keys = keys

    def __len__(self) -> int:
        return len(self._keys)

    def candidates(self, algorithm: str, key_id: str | None) -> Sequence[PyJWK]:
        """The keys that may have signed such a token: those of its `kid`, or all without one;
        at most MAX_TRIES.
        """
        suitable = (
            key
            for key in self._keys
            if key.algorithm_name == algorithm and key_id in {None, key.key_id}
        )
        return tuple(islice(suitable, MAX_TRIES))


NO_KEYS = KeySet(())


def parse_key_set(data: bytes) -> KeySet:
    """The key set of a JWKS document; keys that are not for our use are passed over.

    Raises KeySetError when it is no such document, or has no key of use.
    """
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        raise KeySetError("not a JSON document") from None
    members = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(members, list):
        raise KeySetError("not a key set: it has no list of keys")
    keys = [key for member in members if (key := _usable(member)) is not None]
    if not keys:
        raise KeySetError("it has no public key for RS256 or ES256 signatures")
    return KeySet(keys)


def _usable(member: object) -> PyJWK | None:
    """The key, None if it is for something else, or too weak."""
    if not isinstance(member, dict):
        return None
    algorithm = _algorithm(member)
    if algorithm is None:
        return None
    try:
        key = PyJWK(member, algorithm)
    except (PyJWTError, ValueError, TypeError):
        return None
    # Short RSA keys.
    return None if key.Algorithm.check_key_length(key.key) else key


def _algorithm(member: Mapping[str, Any]) -> str | None:
    """What the key signs with, as far as that is ours; never a secret, never a private key."""
    algorithm = None
    if member.get("kty") == "RSA":
        algorithm = "RS256"
    elif member.get("kty") == "EC" and member.get("crv") == "P-256":
        algorithm = "ES256"
    operations = member.get("key_ops", ["verify"])
    if (
        member.get("alg", algorithm) != algorithm
        or member.get("use", "sig") != "sig"
        or not isinstance(operations, list)
        or "verify" not in operations
        or not isinstance(member.get("kid", ""), str)
        or "d" in member
    ):
        return None
    return algorithm
