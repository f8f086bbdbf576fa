"""A gRPC server with what every service of this project has: health, reflection, drain."""

import asyncio
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

import structlog
from google.protobuf.descriptor import ServiceDescriptor
from grpc import aio, stream_stream_rpc_method_handler
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1.health import aio as health_aio
from grpc_reflection.v1alpha import reflection, reflection_pb2, reflection_pb2_grpc

from shared.channels import KEEPALIVE_MS, MAX_MESSAGE_BYTES
from shared.gate import Gate
from shared.interceptors import Boundary
from shared.open_methods import OpenMethods
from shared.settings import ServiceSettings
from shared.tls import server_credentials

log = structlog.get_logger(__name__)

_MAX_PENDING_CALLS = 5_000
_LOOK_EVERY_S = 0.25
_FOREVER_S = 86_400.0
_MAX_ERROR_CHARS = 200

# Port sharing is off: two servers on one port would each get some of the calls.
OPTIONS: Sequence[tuple[str, Any]] = (
    ("grpc.so_reuseport", 0),
    # Calls that nobody has looked at yet, as when they arrive faster than they can be answered, or
    # refused: which costs nearly as much. They are handed over one by one, so they wait here and
    # not in the services, whose bounds see none of them. From so many on gRPC drops some, at twice
    # as many all, as CANCELLED without a reason. A queue of a second or two outlasts a burst; of a
    # longer one each call would come to its turn when its deadline has passed.
    ("grpc.server.max_pending_requests", _MAX_PENDING_CALLS),
    ("grpc.server.max_pending_requests_hard_limit", 2 * _MAX_PENDING_CALLS),
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    # What a call may send that nobody has read yet, and calls on one connection: a stranger's cost
    # no more than that. (gRPC lets the first grow to megabytes, and the second have no end.)
    ("grpc.http2.bdp_probe", 0),
    ("grpc.http2.lookahead_bytes", 262_144),
    ("grpc.max_concurrent_streams", 1_000),
    ("grpc.keepalive_time_ms", KEEPALIVE_MS),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
    ("grpc.http2.max_ping_strikes", 0),
    ("grpc.http2.max_pings_without_data", 0),
)


@dataclass(frozen=True)
class Service:
    """One gRPC service: its descriptor, its implementation, and how to register it."""

    descriptor: ServiceDescriptor
    register: Callable[[Any, aio.Server], None]
    servicer: object


class RpcServer:
    """One listening gRPC server. `draining` is set when it begins to shut down; long streams
    watch it and end with UNAVAILABLE, so that their clients go elsewhere at once.
    """

    def __init__(self, settings: ServiceSettings, port: int) -> None:
        self._settings = settings
        self.address = _address(settings.bind_host, port)
        self.port = port
        self.draining = asyncio.Event()
        self._gate = Gate(settings)
        self._tasks: list[asyncio.Task[None]] = []
        self._health = health_aio.HealthServicer()
        self._services: list[Service] = []
        self._names: list[str] = []
        self._renew()

    def _renew(self) -> None:
        """Makes a server that does not listen yet, with the services that are known."""
        size = ("grpc.max_receive_message_length", self._settings.max_request_bytes)
        self._server = aio.server(options=[*OPTIONS, size])
        self._boundary = Boundary(self._server, self._gate)
        self._open_methods = OpenMethods(self._server)
        for service in self._services:
            self._register(service)

    def _register(self, service: Service) -> None:
        register: Any = service.register
        register(service.servicer, self._boundary)

    def add(self, service: Service) -> None:
        """Registers a service; it is NOT_SERVING until `set_serving`."""
        self._register(service)
        self._services.append(service)
        self._names.append(service.descriptor.full_name)

    def take_calls(self, *, take: bool) -> None:
        """Whether calls are taken, or are Unavailable (STARTING). Health is told all the time."""
        self._gate.starting = not take

    async def start(self) -> None:
        """Binds and answers calls; one line on stderr and exit status 1 if it cannot listen."""
        _check_free(self._settings.bind_host, self.port)
        await self.set_serving(serving=False)
        await self._listen()
        self._tasks = [
            asyncio.create_task(self._gate.run()),
            asyncio.create_task(self._keep_listening()),
        ]

    async def _keep_listening(self) -> None:
        """Replaces a server that stops by itself, as grpc.aio's does when the path of any call is
        no UTF-8. Calls under way have the time of a drain to end, the next ones are answered.
        """
        while True:
            try:
                # It tells only when the time is over.
                while await self._server.wait_for_termination(_LOOK_EVERY_S):
                    pass
                return
            except Exception as error:  # noqa: BLE001 - whatever it is, someone must listen
                log.warning(
                    "the server has stopped by itself", error=repr(error)[:_MAX_ERROR_CHARS]
                )
            ending = self._server.stop(self._settings.drain_seconds)
            self._tasks.append(asyncio.create_task(ending))
            self.address = _address(self._settings.bind_host, self.port)
            self._renew()
            await self._listen()

    async def _listen(self) -> None:
        # Open to everyone: who asks for health has no token, and learns no more than that.
        register: Any = health_pb2_grpc.add_HealthServicer_to_server
        register(self._health, self._open_methods)
        if self._settings.reflection:
            self._add_reflection()
        credentials = server_credentials(self._settings)
        try:
            if credentials is None:
                self.port = self._server.add_insecure_port(self.address)
            else:
                self.port = self._server.add_secure_port(self.address, credentials)
        except RuntimeError:
            _cannot_listen(self.address, "the address is in use")
        await self._server.start()
        log.info("listening", address=self.address, port=self.port, services=self._names)

    def _add_reflection(self) -> None:
        health = health_pb2.DESCRIPTOR.services_by_name["Health"].full_name
        names = [*self._names, health, reflection.SERVICE_NAME]
        servicer = reflection.aio.ReflectionServicer(names)
        register: Any = reflection_pb2_grpc.add_ServerReflectionServicer_to_server
        register(servicer, self._open_methods)
        # v1 has the messages of v1alpha under another service name; grpcio ships v1alpha alone.
        v1 = stream_stream_rpc_method_handler(
            servicer.ServerReflectionInfo,
            request_deserializer=reflection_pb2.ServerReflectionRequest.FromString,
            response_serializer=reflection_pb2.ServerReflectionResponse.SerializeToString,
        )
        self._open_methods.add_registered_method_handlers(
            "grpc.reflection.v1.ServerReflection", {"ServerReflectionInfo": v1}
        )

    async def set_serving(self, *, serving: bool) -> None:
        """What grpc.health.v1 says, of each service by name and of the server as a whole."""
        status = health_pb2.HealthCheckResponse
        for name in ("", *self._names):
            await self._health.set(name, status.SERVING if serving else status.NOT_SERVING)

    async def drain(self, grace_s: float) -> None:
        """Says NOT_SERVING, takes no new calls, lets those under way end for `grace_s`, stops.

        Our own streams see `draining` and end by themselves; those of health and reflection
        never would, so nobody waits for them.
        """
        await self._health.enter_graceful_shutdown()
        self.draining.set()
        # Only None ends calls safely while another `stop` waits: one whose time is over frees what
        # the other still uses, and the process dies (grpcio 1.85). So no other one's time ever is.
        stopping = asyncio.create_task(self._server.stop(_FOREVER_S))
        ended = asyncio.create_task(self._boundary.wait_idle())
        await asyncio.wait({stopping, ended}, timeout=grace_s, return_when=asyncio.FIRST_COMPLETED)
        ended.cancel()
        await self._server.stop(None)
        await stopping
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)


def _address(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _check_free(host: str, port: int) -> None:
    """Ends the process as `start` says. grpc would say why on lines of its own."""
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        _cannot_listen(_address(host, port), error.strerror or "no such address")


def _cannot_listen(address: str, reason: str) -> NoReturn:
    sys.stderr.write(f"laurel: cannot listen on {address}: {reason}\n")
    raise SystemExit(1)


def stop_event() -> asyncio.Event:
    """Set by SIGTERM or SIGINT from now on."""
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    return stopped
