"""Consistency tokens: ProgressService names a write with one, and both services open it."""

from shared.errors import FieldViolation, InvalidInput
from shared.signed_token import Signer

_KIND = "write"


def encode(signer: Signer, parts: list[object]) -> str:
    """The token that names a write by these JSON values."""
    return signer.sign(_KIND, parts)


def decode(signer: Signer, token: str) -> list[object]:
    """What `encode` was given. Raises InvalidInput (INVALID_CONSISTENCY_TOKEN) for other texts."""
    try:
        return signer.open(_KIND, token)
    except ValueError:
        raise invalid() from None


def invalid() -> InvalidInput:
    """The error about a text that names no write."""
    text = "is not the token of a write"
    return InvalidInput(
        "INVALID_CONSISTENCY_TOKEN",
        f"consistency_token {text}",
        violations=(FieldViolation("consistency_token", text),),
    )
