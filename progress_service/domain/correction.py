"""Corrections: what was recorded is not edited, it is cancelled or withdrawn by something new."""

from dataclasses import dataclass

from progress_service.domain import request
from shared.identity import NOBODY, Actor


@dataclass(frozen=True, slots=True)
class Correction:
    """A request to take back one thing: of the kind VOID an attempt, REVOCATION an entry."""

    kind: request.RequestKind
    target_id: int
    reason: str
    request_id: str
    actor: Actor = NOBODY

    def fingerprint(self) -> bytes:
        """Stands for the contents: all fields but the request id and the actor."""
        return request.fingerprint(self.target_id, self.reason)
