"""Health and reflection, for which no token is asked: the servicers are grpcio's, and what stands
here keeps strangers from filling the process, and the texts of exceptions inside.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

import grpc
import structlog
from grpc import aio

from shared.errors import DeadlineExceeded, LaurelError, ResourceExhausted
from shared.wire import fail, forget_frames, only_request, parsed, refuse, unimplemented

log = structlog.get_logger(__name__)

MAX_REQUEST_BYTES = 4_096
MAX_STREAMS = 100
REQUEST_SECONDS = 10.0
"""How long a call may wait for its request."""

Behaviour = Callable[[Any, Any], Any]


class OpenMethods:
    """Stands between a generated `add_…Servicer_to_server` and the server, as `Boundary` does for
    the methods of the contract. Of all its streams at most MAX_STREAMS are open at once; calls are
    short.
    """

    def __init__(self, server: aio.Server) -> None:
        self._server = server
        self._streams = 0

    def add_generic_rpc_handlers(self, handlers: object) -> None:
        """Nothing: generated code registers the same methods again by name."""

    def add_registered_method_handlers(
        self, service: str, handlers: Mapping[str, grpc.RpcMethodHandler[Any, Any]]
    ) -> None:
        """Registers a service's methods, wrapped."""
        wrapped = {
            name: self._wrapped(f"{service}/{name}", handler) for name, handler in handlers.items()
        }
        generic = grpc.method_handlers_generic_handler(service, wrapped)
        self._server.add_generic_rpc_handlers((generic,))

    def _wrapped(
        self, method: str, handler: grpc.RpcMethodHandler[Any, Any]
    ) -> grpc.RpcMethodHandler[Any, Any]:
        # As if each took a stream of requests: grpc.aio's other kinds wait for the request for
        # ever when the call ends without one.
        factory: Any = (
            grpc.stream_stream_rpc_method_handler
            if handler.response_streaming
            else grpc.stream_unary_rpc_method_handler
        )

        async def outer(requests: Any, context: Any) -> Any:
            try:
                return await self._answered(handler, requests, context)
            except aio.AbortError as aborted:
                forget_frames(aborted)
                return None
            except Exception as error:  # noqa: BLE001 - logged, and answered
                failure = error
            if isinstance(failure, LaurelError):
                await refuse(context, failure)
                return None
            if context.cancelled():
                # The client is gone: whatever a write raised means just that.
                raise asyncio.CancelledError
            log.error("call failed", method=method, exc_info=failure)
            await fail(context, failure, "Internal error; it is logged.")
            return None

        wrapped: grpc.RpcMethodHandler[Any, Any] = factory(
            outer, response_serializer=handler.response_serializer
        )
        return wrapped

    async def _answered(
        self, handler: grpc.RpcMethodHandler[Any, Any], requests: Any, context: Any
    ) -> Any:
        behaviour: Any = handler.unary_unary or handler.unary_stream or handler.stream_stream
        if not (inspect.iscoroutinefunction(behaviour) or inspect.isasyncgenfunction(behaviour)):
            await unimplemented(requests, context)
        if handler.request_streaming:
            return await self._stream(behaviour, _each(handler, requests), context)
        request = _parsed(handler, await _only(context))
        if handler.response_streaming:
            return await self._stream(behaviour, request, context)
        return await behaviour(request, context)

    async def _stream(self, behaviour: Behaviour, asked: object, context: Any) -> None:
        if self._streams >= MAX_STREAMS:
            raise ResourceExhausted(
                "TOO_MANY_STREAMS", "Too many such streams are open.", retry_delay_s=1.0
            )
        self._streams += 1
        try:
            answer = behaviour(asked, context)
            if inspect.isasyncgen(answer):
                async for one in answer:
                    await context.write(one)
            else:
                await answer
        finally:
            self._streams -= 1


async def _only(context: Any) -> bytes:
    """The request of a call that brings one, soon."""
    try:
        async with asyncio.timeout(REQUEST_SECONDS):
            return await only_request(context)
    except TimeoutError:
        raise DeadlineExceeded("REQUEST_TOO_SLOW", "The request did not arrive in time.") from None


async def _each(
    handler: grpc.RpcMethodHandler[Any, Any], requests: AsyncIterator[bytes]
) -> AsyncIterator[Any]:
    async for data in requests:
        yield _parsed(handler, data)


def _parsed(handler: grpc.RpcMethodHandler[Any, Any], data: bytes) -> Any:
    if len(data) > MAX_REQUEST_BYTES:
        raise ResourceExhausted(
            "REQUEST_TOO_LARGE", f"The request may have {MAX_REQUEST_BYTES} bytes."
        )
    return parsed(handler.request_deserializer, data)
