"""What happens around every RPC, in one place: who may, bounds, errors → status, metrics, logs.

A request arrives as bytes. Before anything is made of them the caller is known, its role admits
it, its bounds leave room, and so do those of this process; then they are parsed, held against the
method's rule about users and fields, then against the contract's rules about values, and only then
a servicer sees them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import grpc
from google.protobuf import descriptor_pool
from google.protobuf.message import Message
from grpc import aio

from shared.access import rule_of
from shared.gate import Gate
from shared.served_method import CallCount, Handler, ServedMethod


class Boundary:
    """Stands between a generated `add_…Servicer_to_server` and the server: wraps each handler
    once, when it is registered. (grpc.aio's own interceptors run
    anew on every call.)

    A handler raises `LaurelError` and nothing else on purpose; whatever else it raises is
    logged and answered as INTERNAL without its text. A unary handler may return a message
    or the bytes of one. A method that the servicer does not define answers UNIMPLEMENTED.
    """

    def __init__(self, server: aio.Server, gate: Gate) -> None:
        self._server = server
        self._gate = gate
        self._calls = CallCount()

    async def wait_idle(self) -> None:
        """Returns when no call of a wrapped method is under way."""
        await self._calls.none.wait()

    def add_generic_rpc_handlers(self, handlers: object) -> None:
        """Nothing: generated code registers the same methods again by name."""

    def add_registered_method_handlers(
        self, service: str, handlers: Mapping[str, grpc.RpcMethodHandler[Any, Any]]
    ) -> None:
        """Registers a service's methods, wrapped. Raises ValueError for one whose contract does
        not say who may call it.
        """
        methods = descriptor_pool.Default().FindServiceByName(service).methods_by_name
        wrapped = {
            name: _wrap(
                handler,
                ServedMethod(
                    f"{service}/{name}", handler, rule_of(methods[name]), self._gate, self._calls
                ),
            )
            for name, handler in handlers.items()
        }
        generic = grpc.method_handlers_generic_handler(service, wrapped)
        self._server.add_generic_rpc_handlers((generic,))


def _wrap(
    handler: grpc.RpcMethodHandler[Any, Any], call: ServedMethod
) -> grpc.RpcMethodHandler[Any, Any]:
    # As if each took a stream of requests: then the call is seen when it begins. grpc.aio's other
    # kinds wait for the request first, of whomever, and for ever when it ends without one.
    outer: Handler = call.stream if handler.response_streaming else call.unary
    factory: Any = (
        grpc.stream_stream_rpc_method_handler
        if handler.response_streaming
        else grpc.stream_unary_rpc_method_handler
    )
    wrapped: grpc.RpcMethodHandler[Any, Any] = factory(outer, response_serializer=_serialized)
    return wrapped


def _serialized(response: Message | bytes) -> bytes:
    return response if isinstance(response, bytes) else response.SerializeToString()
