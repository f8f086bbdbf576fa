"""The one table between this project's errors and gRPC statuses, used in both directions."""

import grpc
from google.protobuf import any_pb2, duration_pb2
from google.rpc import error_details_pb2, status_pb2
from grpc import aio

from shared import errors
from shared.errors import LaurelError

DOMAIN = "laurel"
DETAILS_KEY = "grpc-status-details-bin"
# A status travels in trailers, of which most peers take 8 KiB, base64 and all.
_MAX_BYTES = 4_096
_MAX_TEXT_CHARS = 500
_MAX_VALUE_CHARS = 200
_MAX_LIST_CHARS = 1_400
"""Of a metadata value: 20 ids fit."""
_MAX_VIOLATIONS = 10

CODES: dict[type[LaurelError], grpc.StatusCode] = {
    errors.InvalidInput: grpc.StatusCode.INVALID_ARGUMENT,
    errors.OutOfRange: grpc.StatusCode.OUT_OF_RANGE,
    errors.Unauthenticated: grpc.StatusCode.UNAUTHENTICATED,
    errors.PermissionDenied: grpc.StatusCode.PERMISSION_DENIED,
    errors.NotFound: grpc.StatusCode.NOT_FOUND,
    errors.Conflict: grpc.StatusCode.ALREADY_EXISTS,
    errors.FailedPrecondition: grpc.StatusCode.FAILED_PRECONDITION,
    errors.ResourceExhausted: grpc.StatusCode.RESOURCE_EXHAUSTED,
    errors.DeadlineExceeded: grpc.StatusCode.DEADLINE_EXCEEDED,
    errors.Unavailable: grpc.StatusCode.UNAVAILABLE,
    errors.Unimplemented: grpc.StatusCode.UNIMPLEMENTED,
}
_TYPES = {code: kind for kind, code in CODES.items()}


def status_of(error: LaurelError) -> status_pb2.Status:
    """The google.rpc.Status: always an ErrorInfo, and BadRequest or RetryInfo where it has them.

    Texts and lists are cut to what a trailer carries, whatever a caller has sent.
    """
    for violations in range(min(len(error.violations), _MAX_VIOLATIONS), -1, -1):
        status = _status(error, _MAX_TEXT_CHARS, _MAX_LIST_CHARS, violations)
        if status.ByteSize() <= _MAX_BYTES:
            return status
    return _status(error, _MAX_TEXT_CHARS // 2, 0, 0)


def _status(
    error: LaurelError, text_chars: int, value_chars: int, violations: int
) -> status_pb2.Status:
    message = error.message[:text_chars]
    status = status_pb2.Status(code=CODES[type(error)].value[0], message=message)
    metadata = {key: value[:value_chars] for key, value in error.metadata.items() if value_chars}
    info = error_details_pb2.ErrorInfo(reason=error.reason, domain=DOMAIN, metadata=metadata)
    details = [_packed(info)]
    if violations:
        bad_request = error_details_pb2.BadRequest(
            field_violations=[
                error_details_pb2.BadRequest.FieldViolation(
                    field=violation.field[:_MAX_VALUE_CHARS],
                    description=violation.description[:_MAX_VALUE_CHARS],
                )
                for violation in error.violations[:violations]
            ]
        )
        details.append(_packed(bad_request))
    if error.retry_delay_s is not None:
        delay = duration_pb2.Duration()
        delay.FromMilliseconds(round(error.retry_delay_s * 1000))
        details.append(_packed(error_details_pb2.RetryInfo(retry_delay=delay)))
    status.details.extend(details)
    return status


def _packed(
    message: error_details_pb2.ErrorInfo
    | error_details_pb2.BadRequest
    | error_details_pb2.RetryInfo,
) -> any_pb2.Any:
    packed = any_pb2.Any()
    packed.Pack(message)
    return packed


def error_from_peer(error: aio.AioRpcError) -> LaurelError:
    """The same of a call that one service made to the other, for the other's own caller: that the
    two do not accept each other is not that caller's fault, and where the other one is found is
    not that caller's business.
    """
    typed = error_from_rpc(error)
    if isinstance(typed, errors.Unauthenticated | errors.PermissionDenied):
        return errors.Unavailable(
            "PEER_REFUSED", "The services do not accept each other's calls: see their logs."
        )
    if typed.reason == error.code().name:
        # Without ErrorInfo it is gRPC itself that speaks, and names addresses.
        return type(typed)(typed.reason, "A call between the services failed.")
    return typed


def error_from_rpc(error: aio.AioRpcError) -> LaurelError:
    """The typed error that a failed call stands for; a status of no kind of ours is Unavailable.

    Reason and metadata come from ErrorInfo; without one the reason is the status's name.
    """
    kind = _TYPES.get(error.code(), errors.Unavailable)
    reason, metadata = error.code().name, {}
    violations: list[errors.FieldViolation] = []
    retry_delay_s: float | None = None
    for key, value in error.trailing_metadata() or ():
        if key != DETAILS_KEY or not isinstance(value, bytes):
            continue
        for detail in status_pb2.Status.FromString(value).details:
            if detail.Is(error_details_pb2.ErrorInfo.DESCRIPTOR):
                info = error_details_pb2.ErrorInfo()
                detail.Unpack(info)
                reason, metadata = info.reason, dict(info.metadata)
            elif detail.Is(error_details_pb2.BadRequest.DESCRIPTOR):
                bad_request = error_details_pb2.BadRequest()
                detail.Unpack(bad_request)
                violations += [
                    errors.FieldViolation(violation.field, violation.description)
                    for violation in bad_request.field_violations
                ]
            elif detail.Is(error_details_pb2.RetryInfo.DESCRIPTOR):
                retry = error_details_pb2.RetryInfo()
                detail.Unpack(retry)
                retry_delay_s = retry.retry_delay.ToMilliseconds() / 1000
    return kind(
        reason,
        error.details() or reason,
        metadata=metadata,
        violations=violations,
        retry_delay_s=retry_delay_s,
    )
