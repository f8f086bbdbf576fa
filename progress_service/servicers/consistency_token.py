"""Consistency tokens: opaque, signed names of writes."""

from progress_service.domain.write_mark import WriteMark
from shared.errors import FieldViolation, InvalidInput
from shared.signed_token import Signer

_KIND = "write"


def encode(signer: Signer, mark: WriteMark | None) -> str:
    """The token of a write; "" for one that changed nothing."""
    return signer.sign(_KIND, [*mark]) if mark else ""


def decode(signer: Signer, token: str) -> WriteMark:
    """What `encode` was given. Raises InvalidInput (INVALID_CONSISTENCY_TOKEN) for other texts."""
    try:
        parts = signer.open(_KIND, token)
    except ValueError:
        raise _invalid() from None
    match parts:
        case [str(kind), int(id_), str(fingerprint)]:
            return WriteMark(kind, id_, fingerprint)
    raise _invalid()


def _invalid() -> InvalidInput:
    text = "is not the token of a write"
    return InvalidInput(
        "INVALID_CONSISTENCY_TOKEN",
        f"consistency_token {text}",
        violations=(FieldViolation("consistency_token", text),),
    )
