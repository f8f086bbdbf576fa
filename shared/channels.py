"""gRPC channels to another service, with this project's limits and keep-alives."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from grpc import aio

from shared.caller import request_id

MAX_MESSAGE_BYTES = 16 * 1024 * 1024
KEEPALIVE_MS = 30_000

# Servers permit pings from 10 s on (shared.server), so 30 s is never "too many pings".
OPTIONS: Sequence[tuple[str, Any]] = (
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    ("grpc.keepalive_time_ms", KEEPALIVE_MS),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.initial_reconnect_backoff_ms", 100),
    # Also the time that one attempt to connect may take: a busy server needs some.
    ("grpc.min_reconnect_backoff_ms", 5_000),
    ("grpc.max_reconnect_backoff_ms", 2_000),
)


class _RequestIdInterceptor(aio.UnaryUnaryClientInterceptor):
    """Sends the id of the call being served along with the unary calls that it causes.

    Streams are opened by workers, for no call in particular: they go without an interceptor.
    """

    async def intercept_unary_unary(
        self,
        continuation: Callable[[aio.ClientCallDetails, Any], Awaitable[Any]],
        client_call_details: aio.ClientCallDetails,
        request: Any,
    ) -> Any:
        return await continuation(_with_request_id(client_call_details), request)


def _with_request_id(details: aio.ClientCallDetails) -> aio.ClientCallDetails:
    current = request_id()
    if not current:
        return details
    metadata = aio.Metadata(*(details.metadata or ()))
    metadata.add("x-request-id", current)
    return aio.ClientCallDetails(
        details.method, details.timeout, metadata, details.credentials, details.wait_for_ready
    )


def open_channel(target: str, *, own_connection: bool = False) -> aio.Channel:
    """A channel to `target`; the caller closes it.

    With `own_connection` it shares no connection with other channels of this process: for
    long streams, which would hold up unary calls on a shared one.
    """
    options = [*OPTIONS, ("grpc.use_local_subchannel_pool", 1 if own_connection else 0)]
    return aio.insecure_channel(target, options=options, interceptors=[_RequestIdInterceptor()])
