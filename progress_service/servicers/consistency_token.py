"""Consistency tokens: opaque, signed names of writes."""

from progress_service.domain.write_mark import WriteMark
from shared import write_token
from shared.signed_token import Signer


def encode(signer: Signer, mark: WriteMark | None) -> str:
    """The token of a write; "" for one that changed nothing."""
    return write_token.encode(signer, [*mark]) if mark else ""


def decode(signer: Signer, token: str) -> WriteMark:
    """What `encode` was given. Raises InvalidInput (INVALID_CONSISTENCY_TOKEN) for other texts."""
    match write_token.decode(signer, token):
        case [str(kind), int(id_), str(fingerprint)]:
            return WriteMark(kind, id_, fingerprint)
    raise write_token.invalid()
