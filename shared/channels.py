"""gRPC channels to another service, with this project's limits and keep-alives."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Self

import grpc
from grpc import aio

from shared.caller import AUTHORIZATION_KEY, REQUEST_ID_KEY, request_id
from shared.renewed_channel import Credentials, RenewedChannel

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

Token = Callable[[], str]


def no_token() -> str:
    """For calls that need none."""
    return ""


class CallerChannel(aio.Channel):
    """A channel whose calls carry the caller's token, and the id of the call being served that
    causes them. (grpc.aio's own interceptors cost more than a short call.)
    """

    def __init__(self, channel: aio.Channel, token: Token) -> None:
        self._channel = channel
        self._token = token

    async def __aenter__(self) -> Self:
        await self._channel.__aenter__()
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self._channel.__aexit__(*exception)  # type: ignore[arg-type]

    async def close(self, grace: float | None = None) -> None:
        await self._channel.close(grace)

    def get_state(self, try_to_connect: bool = False) -> grpc.ChannelConnectivity:  # noqa: FBT001, FBT002 - grpc's
        return self._channel.get_state(try_to_connect)

    async def wait_for_state_change(self, last_observed_state: grpc.ChannelConnectivity) -> None:
        await self._channel.wait_for_state_change(last_observed_state)

    async def channel_ready(self) -> None:
        await self._channel.channel_ready()

    def unary_unary(self, *method: Any, **options: Any) -> Any:
        return self._with_metadata(self._channel.unary_unary(*method, **options))

    def unary_stream(self, *method: Any, **options: Any) -> Any:
        return self._with_metadata(self._channel.unary_stream(*method, **options))

    def stream_unary(self, *method: Any, **options: Any) -> Any:
        return self._with_metadata(self._channel.stream_unary(*method, **options))

    def stream_stream(self, *method: Any, **options: Any) -> Any:
        return self._with_metadata(self._channel.stream_stream(*method, **options))

    def _with_metadata(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def with_metadata(*request: Any, metadata: Any = None, **options: Any) -> Any:
            return call(*request, metadata=self._metadata(metadata), **options)

        return with_metadata

    def _metadata(self, given: Any) -> Any:
        """The call's metadata; what the caller gives itself is not said twice."""
        pairs = list(given or ())
        said = {key for key, _ in pairs}
        if AUTHORIZATION_KEY not in said and (token := self._token()):
            pairs.append((AUTHORIZATION_KEY, token))
        if REQUEST_ID_KEY not in said and (current := request_id()):
            pairs.append((REQUEST_ID_KEY, current))
        return pairs


def open_channel(
    target: str,
    *,
    own_connection: bool = False,
    token: Token = no_token,
    credentials: Credentials | None = None,
) -> aio.Channel:
    """A channel to `target`; the caller closes it. Each call carries what `token` gives then, and
    each connection is made with what `credentials` gives then (None: without TLS).

    With `own_connection` it shares no connection with other channels of this process: for
    long streams, which would hold up unary calls on a shared one.
    """
    options = [*OPTIONS, ("grpc.use_local_subchannel_pool", 1 if own_connection else 0)]
    if credentials is None:
        return CallerChannel(aio.insecure_channel(target, options=options), token)

    def opened(newest: grpc.ChannelCredentials) -> aio.Channel:
        return aio.secure_channel(target, newest, options=options)

    return CallerChannel(RenewedChannel(credentials, opened), token)
