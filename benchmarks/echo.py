"""`python -m benchmarks.echo PORT`: the bare server that the services are compared with.

One grpc.aio server on the same event loop and collector settings as the services, without
interceptors, messages or logs: bytes in, bytes out. The method's name says how many bytes the
answer has: `/echo/4096`.
"""

from __future__ import annotations

import sys
from typing import Any

import grpc
from grpc import aio

from shared import runtime
from shared.server import stop_event


class Echo(grpc.GenericRpcHandler):
    """Answers each method with as many bytes as its name says."""

    def __init__(self) -> None:
        self._handlers: dict[str, grpc.RpcMethodHandler[bytes, bytes]] = {}

    def service(
        self, handler_call_details: grpc.HandlerCallDetails
    ) -> grpc.RpcMethodHandler[bytes, bytes]:
        method = handler_call_details.method
        handler = self._handlers.get(method)
        if handler is None:
            size = int(method.rpartition("/")[2])
            handler = self._handlers[method] = _answering(bytes(size))
        return handler


def _answering(answer: bytes) -> grpc.RpcMethodHandler[bytes, bytes]:
    async def behaviour(_request: bytes, _context: Any) -> bytes:
        return answer

    return grpc.unary_unary_rpc_method_handler(behaviour)


def method_for(size: int) -> str:
    """The method whose answer has `size` bytes."""
    return f"/echo/{size}"


async def serve(port: int) -> None:
    """Answers calls until SIGTERM."""
    stopped = stop_event()
    server = aio.server(options=[("grpc.so_reuseport", 0)])
    server.add_generic_rpc_handlers((Echo(),))
    server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    await stopped.wait()
    await server.stop(None)


if __name__ == "__main__":
    runtime.run(serve(int(sys.argv[1])))
