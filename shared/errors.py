"""The errors that both services raise; `shared.status` maps them to gRPC.

    LaurelError
    ├── InvalidInput         the request can never succeed as it is
    ├── OutOfRange           past what is kept: recover as the reason says
    ├── Unauthenticated
    ├── PermissionDenied
    ├── NotFound
    ├── Conflict             something with this key exists and differs
    ├── FailedPrecondition   valid, but not in the present state
    ├── ResourceExhausted    too much at once; retry after `retry_delay_s`
    ├── DeadlineExceeded
    ├── Unavailable          may succeed when repeated, and repeating is safe
    └── Unimplemented

A `reason` is UPPER_SNAKE_CASE and stable: clients branch on it, never on the message.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

INVALID_FIELD = "INVALID_FIELD"
"""The reason about fields that have none of their own."""


@dataclass(frozen=True, slots=True)
class FieldViolation:
    """What is wrong with one request field; `field` is its path, such as `board.period`."""

    field: str
    description: str


class LaurelError(Exception):
    """A failure that the caller may see: its texts must hold nothing internal."""

    def __init__(
        self,
        reason: str,
        message: str,
        *,
        metadata: Mapping[str, str] | None = None,
        violations: Sequence[FieldViolation] = (),
        retry_delay_s: float | None = None,
    ) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.metadata = dict(metadata or {})
        self.violations = tuple(violations)
        self.retry_delay_s = retry_delay_s


class InvalidInput(LaurelError):
    """Names each wrong field in `violations`."""


class OutOfRange(LaurelError):
    """The position or number lies outside what is kept."""


class Unauthenticated(LaurelError):
    """No valid identity."""


class PermissionDenied(LaurelError):
    """The identity may not do this."""


class NotFound(LaurelError):
    """No such user, course, level, metric, or entry."""


class Conflict(LaurelError):
    """The key is taken by something else."""


class FailedPrecondition(LaurelError):
    """Not in the present state of the user, course or history."""


class ResourceExhausted(LaurelError):
    """A bound was reached; nothing was done."""


class DeadlineExceeded(LaurelError):
    """The caller's deadline passed first."""


class Unavailable(LaurelError):
    """A part that is needed does not answer; repeating is safe."""


class Unimplemented(LaurelError):
    """Part of the contract that this server does not offer."""


def invalid_field(field: str, description: str) -> InvalidInput:
    """An `InvalidInput` about one field, with the reason INVALID_FIELD."""
    return invalid_fields([FieldViolation(field, description)])


def invalid_fields(
    violations: Sequence[FieldViolation], *, reason: str = INVALID_FIELD
) -> InvalidInput:
    """An `InvalidInput` about several fields at once."""
    text = "; ".join(f"{v.field}: {v.description}" for v in violations[:5])
    return InvalidInput(reason, text, violations=violations)
