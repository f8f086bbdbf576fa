"""Request ids: the same id with the same contents gives the first answer again."""

import hashlib
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Protocol

from shared.errors import Conflict


class RequestKind(IntEnum):
    """Which operation a request id was used for; stored, so never renumbered."""

    SUBMISSION = 1
    AWARD = 2
    REVOCATION = 3
    VOID = 4
    FREEZES = 5
    RESET = 6


class Request(Protocol):
    """What a user's request id stands for, such as a submission."""

    @property
    def kind(self) -> RequestKind:
        """Which operation it asks for."""

    @property
    def request_id(self) -> str:
        """Unique for the user."""

    def fingerprint(self) -> bytes:
        """Stands for the contents."""


@dataclass(frozen=True, slots=True)
class Answered:
    """What was stored when a request id was first used. `answer` is JSON."""

    kind: RequestKind
    fingerprint: bytes
    answer: dict[str, Any]


def fingerprint(*contents: object) -> bytes:
    """16 bytes that stand for the contents of a request."""
    return hashlib.blake2b(repr(contents).encode(), digest_size=16).digest()


def same_request(
    earlier: Answered, kind: RequestKind, contents: bytes, request_id: str
) -> dict[str, Any]:
    """The first answer, or Conflict (REQUEST_ID_REUSED) when the contents differ."""
    if earlier.kind is not kind or earlier.fingerprint != contents:
        raise Conflict(
            "REQUEST_ID_REUSED",
            "This request_id was used before with other contents.",
            metadata={"request_id": request_id},
        )
    return earlier.answer
