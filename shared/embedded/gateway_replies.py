"""What the gateway answers by itself: as gRPC, in the words of the services.

Envoy's own table makes UNKNOWN of most, and to gRPC-Web, which reads the HTTP status first, of
nearly all. So to both a refusal is HTTP 200 with grpc-status and grpc-status-details-bin, as theirs
are. Only what is not public stays 403 to gRPC-Web. Whoever speaks neither gets the HTTP status.
"""

import base64
from collections.abc import Mapping

from shared.embedded.gateway_routes import NO_GRPC, UNKNOWN_CALLER
from shared.embedded.settings import GatewaySettings
from shared.errors import (
    DeadlineExceeded,
    InvalidInput,
    LaurelError,
    PermissionDenied,
    ResourceExhausted,
    Unauthenticated,
)
from shared.status import DETAILS_KEY, status_of

# A user has its allowance in each process. So much of it is enough for two replicas of both
# services; more would be no user's doing.
ALLOWANCES = 4
# What a user may send. The services measure it too, and theirs is the bound.
MAX_REQUEST_BYTES = 65_536
FRAME_BYTES = 5
FORBIDDEN = 403
# As the services say it.
_TOKEN_MISSING = Unauthenticated(
    "TOKEN_MISSING", "The call needs a token: authorization: Bearer <token>."
)
_TOKEN_INVALID = Unauthenticated("TOKEN_INVALID", "The token is not valid.")
_NOT_PUBLIC = PermissionDenied("NOT_PUBLIC", "Apps may not call this method.")


def calls_per_second(settings: GatewaySettings) -> int:
    """How many calls of one caller pass the public listener in a second; 0: unbounded."""
    wanted = ALLOWANCES * settings.user_calls_per_second
    return max(1, round(wanted)) if wanted else 0


def address_calls_per_second(settings: GatewaySettings) -> int:
    """The same of all callers of one address."""
    wanted = settings.gateway_users_per_address * settings.user_calls_per_second
    return max(1, round(wanted)) if wanted else 0


def replies(settings: GatewaySettings) -> list[dict[str, object]]:
    """The mappers of Envoy's local_reply_config, in the order in which they are tried."""
    no_grpc = {"and_filter": {"filters": [_status_is(FORBIDDEN), _took(NO_GRPC)]}}
    return [
        {"filter": no_grpc, "status_code": 415, "body": {"inline_string": "not gRPC"}},
        _mapper(FORBIDDEN, _TOKEN_INVALID, _IS_UNKNOWN, _HAS_BEARER),
        _mapper(FORBIDDEN, _TOKEN_MISSING, _IS_UNKNOWN),
        _mapper(FORBIDDEN, _NOT_PUBLIC, http_status=FORBIDDEN),
        *(_mapper(status, error) for status, error in _errors(settings).items()),
    ]


def _errors(settings: GatewaySettings) -> Mapping[int, LaurelError]:
    """By the HTTP status with which Envoy means it."""
    rate = calls_per_second(settings)
    return {
        400: InvalidInput("MALFORMED_CALL", "The call's headers are not well-formed."),
        408: DeadlineExceeded("REQUEST_TOO_SLOW", "The request did not arrive in time."),
        413: ResourceExhausted(
            "REQUEST_TOO_LARGE",
            f"The request has more than {MAX_REQUEST_BYTES} bytes.",
            metadata={"max_bytes": str(MAX_REQUEST_BYTES)},
        ),
        429: ResourceExhausted(
            "TOO_MANY_CALLS",
            f"You may make {rate} calls per second here, and all of your address not many more.",
            metadata={"calls_per_second": str(rate)},
            retry_delay_s=1.0,
        ),
    }


def _mapper(
    meant: int, error: LaurelError, *filters: Mapping[str, object], http_status: int = 200
) -> dict[str, object]:
    """Of what Envoy means with the HTTP status and what these filters take."""
    status = status_of(error)
    details = base64.b64encode(status.SerializeToString()).decode().rstrip("=")
    said = {
        "content-type": "application/grpc",
        "grpc-status": str(status.code),
        "grpc-message": status.message,
        DETAILS_KEY: details,
    }
    return {
        "filter": {"and_filter": {"filters": [_status_is(meant), _IS_GRPC, *filters]}},
        "status_code": http_status,
        "body": {"inline_string": ""},
        "headers_to_add": [
            {
                "header": {"key": key, "value": value},
                "append_action": "OVERWRITE_IF_EXISTS_OR_ADD",
            }
            for key, value in said.items()
        ],
    }


def _status_is(http_status: int) -> dict[str, object]:
    value = {"default_value": http_status, "runtime_key": f"laurel.replies.{http_status}"}
    return {"status_code_filter": {"comparison": {"op": "EQ", "value": value}}}


def _header(name: str, **matcher: object) -> dict[str, object]:
    return {"header_filter": {"header": {"name": name, "string_match": matcher}}}


def _took(route: str) -> dict[str, object]:
    kind = "type.googleapis.com/envoy.extensions.access_loggers.filters.cel.v3.ExpressionFilter"
    return {
        "extension_filter": {
            "name": "envoy.access_loggers.extension_filters.cel",
            "typed_config": {"@type": kind, "expression": f"xds.route_name == '{route}'"},
        }
    }


# gRPC-Web too: by then it has been made gRPC.
_IS_GRPC = _header("content-type", prefix="application/grpc")
_HAS_BEARER = _header("authorization", safe_regex={"regex": "(?i:bearer) [^ ].*"})
_IS_UNKNOWN = _took(UNKNOWN_CALLER)
