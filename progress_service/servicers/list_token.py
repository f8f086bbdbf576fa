"""Page tokens of the lists that ProgressService keeps: opaque, and bound to their list."""

import base64
import binascii
import json

from progress_service.domain import bounds
from shared.errors import FieldViolation, InvalidInput

_MAX_CHARS = 2048


def encode(list_name: str, filters: tuple[str, ...], last_key: str) -> str:
    """A token that continues after `last_key` of the list with these filters."""
    document = json.dumps([1, list_name, list(filters), last_key], separators=(",", ":"))
    return base64.urlsafe_b64encode(document.encode()).decode().rstrip("=")


def decode(token: str, list_name: str, filters: tuple[str, ...]) -> str:
    """The key after which to continue; "" for an empty token.

    Raises InvalidInput (INVALID_PAGE_TOKEN) for a token that is malformed or of another list.
    """
    if not token:
        return ""
    if len(token) > _MAX_CHARS:
        raise _foreign()
    try:
        padded = token + "=" * (-len(token) % 4)
        document = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
        version, name, bound, key = document
        valid = version == 1 and name == list_name and tuple(bound) == filters
        # Every list's key has the form of an id, so a forged one is still fit for the database.
        if valid and isinstance(key, str) and bounds.is_id(key):
            return key
    except (binascii.Error, UnicodeError, ValueError, TypeError, RecursionError):
        pass
    raise _foreign()


def decode_number(token: str, list_name: str, filters: tuple[str, ...]) -> int | None:
    """As `decode`, for lists whose key is a number; None for an empty token."""
    key = decode(token, list_name, filters)
    if not key:
        return None
    if not key.isascii() or not key.isdigit() or len(key) > 18:
        raise _foreign()
    return int(key)


def _foreign() -> InvalidInput:
    text = "is not of this list"
    return InvalidInput(
        "INVALID_PAGE_TOKEN",
        f"page_token {text}",
        violations=(FieldViolation("page_token", text),),
    )
