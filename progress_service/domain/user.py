"""A user's profile."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from urllib.parse import urlsplit
from zoneinfo import available_timezones

from progress_service.domain import bounds
from shared.errors import FieldViolation, invalid_fields

PSEUDONYM_MARK = "~"
"""What the rows of an erased user go by begins so; it occurs in no id, and comes after them all."""


@dataclass(frozen=True, slots=True)
class User:
    """`time_zone` empty: the deployment's; `hidden`: keeps the score, leaves the boards."""

    user_id: str
    display_name: str = ""
    avatar_url: str = ""
    time_zone: str = ""
    hidden: bool = False


def check(user: User, path: str = "user") -> None:
    """InvalidInput (INVALID_FIELD) that names every wrong field of the user at `path`."""
    violations = [*_violations(user, path)]
    if violations:
        raise invalid_fields(violations)


def _violations(user: User, path: str) -> Iterator[FieldViolation]:
    if not bounds.is_id(user.user_id):
        yield FieldViolation(f"{path}.user_id", f"must be {bounds.ID_FORM}")
    if not bounds.is_plain_text(user.display_name, bounds.MAX_NAME_CHARS):
        yield FieldViolation(f"{path}.display_name", "must be at most 100 printable characters")
    if user.avatar_url and not _is_https_url(user.avatar_url):
        yield FieldViolation(f"{path}.avatar_url", "must be an https URL of at most 512 characters")
    if user.time_zone and not is_zone(user.time_zone):
        yield FieldViolation(
            f"{path}.time_zone", 'must be an IANA time zone such as "Asia/Jakarta"'
        )


def from_claims(user_id: str, name: str, picture: str, zoneinfo: str) -> User:
    """The profile that a token's claims make: a long name is cut, and what may not be stored is
    left out.
    """
    shown = name[: bounds.MAX_NAME_CHARS].strip()
    return User(
        user_id,
        display_name=shown if bounds.is_plain_text(shown, bounds.MAX_NAME_CHARS) else "",
        avatar_url=picture if _is_https_url(picture) else "",
        time_zone=zoneinfo if is_zone(zoneinfo) else "",
    )


def is_zone(name: str) -> bool:
    """Whether `name` is an IANA zone that this system knows."""
    return name in _zones()


@cache
def _zones() -> frozenset[str]:
    # These two are files beside the zones, and mean something else on each machine.
    return frozenset(available_timezones()) - {"localtime", "Factory"}


def _is_https_url(url: str) -> bool:
    if not (
        url.startswith("https://")
        and len(url) <= bounds.MAX_URL_CHARS
        and url.isascii()
        and url.isprintable()
        and " " not in url
    ):
        return False
    try:
        parts = urlsplit(url)
        return bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
