"""A gateway of its own for a test, in front of one server that answers every method."""

import threading
from collections import deque
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import grpc
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2
from grpc_status import rpc_status

from shared.embedded.envoy import EmbeddedEnvoy
from shared.embedded.public_methods import methods, path_of
from shared.embedded.settings import GatewaySettings
from tests.ports import free_ports

HEALTH = "/grpc.health.v1.Health/Check"
_SERVING = health_pb2.HealthCheckResponse(status="SERVING").SerializeToString()


class Received(NamedTuple):
    """A call as it came in."""

    path: str
    metadata: Mapping[str, str]


class Peer(grpc.GenericRpcHandler):
    """Answers every method of the contract with `answer`, and anything else as unimplemented.

    A stream of answers stays open after the first one, until the caller or the test ends it.
    """

    def __init__(self) -> None:
        self.received: deque[Received] = deque(maxlen=1_000)
        self.answer = b""
        self.ended = threading.Event()
        self._methods = {path_of(method): method for method in methods()}

    def paths(self) -> set[str]:
        """The paths that have been called since the last time."""
        paths = {call.path for call in self.received}
        self.received.clear()
        return paths

    def service(self, handler_call_details: Any) -> Any:
        path = handler_call_details.method
        if path == HEALTH:
            return grpc.unary_unary_rpc_method_handler(lambda _request, _context: _SERVING)
        metadata = {str(key): str(value) for key, value in handler_call_details.invocation_metadata}
        self.received.append(Received(path, metadata))
        method = self._methods.get(path)
        if method is None:
            return None
        if method.server_streaming:
            if method.client_streaming:
                return grpc.stream_stream_rpc_method_handler(self._echo)
            return grpc.unary_stream_rpc_method_handler(self._stream)
        if method.client_streaming:
            return grpc.stream_unary_rpc_method_handler(lambda _requests, _context: self.answer)
        return grpc.unary_unary_rpc_method_handler(lambda _request, _context: self.answer)

    def _echo(self, requests: Iterator[bytes], _context: Any) -> Iterator[bytes]:
        yield from requests

    def _stream(self, _request: bytes, context: Any) -> Iterator[bytes]:
        yield self.answer
        while context.is_active() and not self.ended.wait(0.05):
            pass


class Gateway(NamedTuple):
    """A running gateway and what is behind it."""

    peer: Peer
    settings: GatewaySettings
    folder: Path

    @property
    def public(self) -> str:
        """Where apps call."""
        return f"127.0.0.1:{self.settings.gateway_port}"

    @property
    def admin(self) -> str:
        """Where consoles call."""
        return f"127.0.0.1:{self.settings.admin_gateway_port}"

    @property
    def log(self) -> str:
        """What it has logged so far; calls appear there within a second."""
        return (self.folder / "envoy.log").read_text()


@contextmanager
def running_gateway(
    folder: Path, credentials: grpc.ServerCredentials | None = None, **settings: Any
) -> Iterator[Gateway]:
    """A gateway with these settings; its files lie in the folder. The server behind it has the
    credentials, if any.
    """
    peer = Peer()
    server = grpc.server(ThreadPoolExecutor(32), handlers=[peer])
    public, admin = free_ports(2)
    if credentials is None:
        port = server.add_insecure_port("127.0.0.1:0")
    else:
        port = server.add_secure_port("127.0.0.1:0", credentials)
    server.start()
    address = f"127.0.0.1:{port}"
    told = {"progress_address": address, "leaderboard_address": address, **settings}
    gateway_settings = GatewaySettings(gateway_port=public, admin_gateway_port=admin, **told)
    envoy = EmbeddedEnvoy(folder, gateway_settings, folder / "envoy.log")
    try:
        envoy.start()
        yield Gateway(peer, gateway_settings, folder)
    finally:
        envoy.stop()
        peer.ended.set()
        server.stop(0).wait()


@contextmanager
def dialled(target: str) -> Iterator[Any]:
    """A channel whose methods take bytes and give bytes."""
    with grpc.insecure_channel(target) as channel:
        yield channel


def call(target: str, path: str, message: bytes = b"", **metadata: str) -> Any:
    """A unary call; raises grpc.RpcError."""
    with dialled(target) as channel:
        pairs = tuple((key.replace("_", "-"), text) for key, text in metadata.items())
        return channel.unary_unary(path)(message, timeout=10, metadata=pairs)


def details(error: grpc.RpcError) -> tuple[grpc.StatusCode, str]:
    """The status and the reason in ErrorInfo."""
    status = rpc_status.from_call(error)
    info = error_details_pb2.ErrorInfo()
    assert status.details[0].Unpack(info)
    return error.code(), info.reason
