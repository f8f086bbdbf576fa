"""Page tokens of the lists that ProgressService keeps: opaque, and bound to their list."""

import base64
import binascii
import json

from shared.errors import InvalidInput


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
    try:
        padded = token + "=" * (-len(token) % 4)
        document = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
        version, name, bound, key = document
        valid = version == 1 and name == list_name and tuple(bound) == filters
        if valid and isinstance(key, str) and key:
            return key
    except (binascii.Error, UnicodeError, ValueError, TypeError):
        pass
    raise InvalidInput("INVALID_PAGE_TOKEN", "page_token is not of this list.")


def decode_number(token: str, list_name: str, filters: tuple[str, ...]) -> int | None:
    """As `decode`, for lists whose key is a number; None for an empty token."""
    key = decode(token, list_name, filters)
    if not key:
        return None
    if not key.isascii() or not key.isdigit() or len(key) > 18:
        raise InvalidInput("INVALID_PAGE_TOKEN", "page_token is not of this list.")
    return int(key)
