"""What the claims of a verified token say about its bearer."""

from collections.abc import Iterable, Mapping
from typing import Any

from shared.errors import Unauthenticated
from shared.identity import Identity, Role
from shared.ids import ID_FORM, is_id

MAX_TEXT_CHARS = 512
# JSON's numbers are exact up to here; it is 285 million years off.
_LATEST = 2**53
_ROLES = {role.name.lower(): role for role in Role}


def identity_of(claims: Mapping[str, Any], roles_claim: str, leeway_s: float) -> Identity:
    """The bearer, until `exp` and the leeway have passed.

    Raises Unauthenticated when `sub` is no name of a caller (TOKEN_SUBJECT_INVALID), ValueError
    when `exp` is no number.
    """
    subject = claims["sub"]
    if not is_id(subject):
        raise Unauthenticated(
            "TOKEN_SUBJECT_INVALID", f"The token's sub is not a user id: {ID_FORM}."
        )
    return Identity(
        subject,
        _role(_claim(claims, roles_claim)),
        _expiry(claims["exp"]) + leeway_s,
        _text(claims, "name"),
        _text(claims, "picture"),
        _text(claims, "zoneinfo"),
    )


def _expiry(exp: object) -> float:
    if isinstance(exp, bool) or not isinstance(exp, int | float) or not 0 <= exp <= _LATEST:
        raise ValueError("exp is not a time")
    return float(int(exp))


def _claim(claims: Mapping[str, Any], name: str) -> object:
    """The claim of exactly this name; else name a.b is b within a."""
    if name in claims:
        return claims[name]
    found: object = claims
    for part in name.split("."):
        if not isinstance(found, Mapping) or part not in found:
            return None
        found = found[part]
    return found


def _role(roles: object) -> Role:
    """The highest of a list's or a text's roles; that of a user when it has none."""
    names: Iterable[object] = ()
    if isinstance(roles, str):
        names = roles.split()
    elif isinstance(roles, list):
        names = roles
    known = [_ROLES[name] for name in names if isinstance(name, str) and name in _ROLES]
    return max(known, default=Role.USER)


def _text(claims: Mapping[str, Any], name: str) -> str:
    """A text of bounded length; "" for anything else. JSON may hold half of a surrogate pair,
    which no other format can.
    """
    value = claims.get(name)
    if not isinstance(value, str) or len(value) > MAX_TEXT_CHARS:
        return ""
    return "" if any("\ud800" <= one <= "\udfff" for one in value) else value
