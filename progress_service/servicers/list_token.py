"""Page tokens of the lists that ProgressService keeps: signed, and bound to their list."""

from shared.errors import FieldViolation, InvalidInput
from shared.signed_token import Signer

_KIND = "list page 2"


def encode(signer: Signer, list_name: str, filters: tuple[str, ...], last_key: str) -> str:
    """A token that continues after `last_key` of the list with these filters."""
    return signer.sign(_KIND, [list_name, list(filters), last_key])


def decode(signer: Signer, token: str, list_name: str, filters: tuple[str, ...]) -> str:
    """The key after which to continue; "" for an empty token.

    Raises InvalidInput (INVALID_PAGE_TOKEN) for a token that is forged or of another list.
    """
    if not token:
        return ""
    try:
        parts = signer.open(_KIND, token)
    except ValueError:
        raise _foreign() from None
    match parts:
        case [str(name), list(bound), str(key)]:
            if (name, tuple(bound)) == (list_name, filters):
                return key
    raise _foreign()


def decode_number(
    signer: Signer, token: str, list_name: str, filters: tuple[str, ...]
) -> int | None:
    """As `decode`, for lists whose key is a number; None for an empty token."""
    key = decode(signer, token, list_name, filters)
    return int(key) if key else None


def _foreign() -> InvalidInput:
    text = "is not of this list"
    return InvalidInput(
        "INVALID_PAGE_TOKEN",
        f"page_token {text}",
        violations=(FieldViolation("page_token", text),),
    )
