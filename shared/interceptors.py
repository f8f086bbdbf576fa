"""What happens around every RPC, in one place: errors → status, request ids, metrics, logs."""

from __future__ import annotations

import asyncio
import inspect
import re
import secrets
import time
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

import grpc
import structlog
from google.protobuf.message import DecodeError, Message
from google.rpc import status_pb2
from grpc import aio

from shared import metrics
from shared.caller import current_call, request_id
from shared.errors import InvalidInput, LaurelError, Unimplemented
from shared.status import CODES, DETAILS_KEY, status_of

log = structlog.get_logger(__name__)

REQUEST_ID_KEY = "x-request-id"
ACTOR_KEY = "x-laurel-actor"
_REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,64}")
_ACTOR = re.compile(r"[\x21-\x7e]{1,128}")

Handler = Callable[[Any, Any], Any]


class Boundary:
    """Stands between a generated `add_…Servicer_to_server` and the server: wraps each handler
    once, when it is registered. (grpc.aio's own interceptors run
    anew on every call.)

    A handler raises `LaurelError` and nothing else on purpose; whatever else it raises is
    logged and answered as INTERNAL without its text. A unary handler may return a message
    or the bytes of one. A method that the servicer does not define answers UNIMPLEMENTED.
    """

    def __init__(self, server: aio.Server) -> None:
        self._server = server
        self._calls = _Calls()

    async def wait_idle(self) -> None:
        """Returns when no call of a wrapped method is under way."""
        await self._calls.none.wait()

    def add_generic_rpc_handlers(self, handlers: object) -> None:
        """Nothing: generated code registers the same methods again by name."""

    def add_registered_method_handlers(
        self, service: str, handlers: Mapping[str, grpc.RpcMethodHandler[Any, Any]]
    ) -> None:
        """Registers a service's methods, wrapped."""
        wrapped = {
            name: _wrap(f"{service}/{name}", handler, self._calls)
            for name, handler in handlers.items()
        }
        generic = grpc.method_handlers_generic_handler(service, wrapped)
        self._server.add_generic_rpc_handlers((generic,))


def _wrap(
    method: str, handler: grpc.RpcMethodHandler[Any, Any], calls: _Calls
) -> grpc.RpcMethodHandler[Any, Any]:
    if handler.response_streaming:
        inner = handler.stream_stream if handler.request_streaming else handler.unary_stream
        outer: Handler = _Call(method, inner, calls).stream
        factory: Any = (
            grpc.stream_stream_rpc_method_handler
            if handler.request_streaming
            else grpc.unary_stream_rpc_method_handler
        )
    else:
        inner = handler.stream_unary if handler.request_streaming else handler.unary_unary
        outer = _Call(method, inner, calls).unary
        factory = (
            grpc.stream_unary_rpc_method_handler
            if handler.request_streaming
            else grpc.unary_unary_rpc_method_handler
        )
    wrapped: grpc.RpcMethodHandler[Any, Any] = factory(
        _of_stream(outer) if handler.request_streaming else outer,
        request_deserializer=_parser(handler.request_deserializer),
        response_serializer=_serialized,
    )
    return wrapped


def _parser(parse: Callable[[bytes], Any] | None) -> Callable[[bytes], Any]:
    """`parse`, which answers with the error when it cannot: grpc would tell the caller what it
    raises, text and all.
    """

    def parsed(data: bytes) -> Any:
        try:
            return data if parse is None else parse(data)
        except DecodeError:
            return InvalidInput("MALFORMED_REQUEST", "The request is not a message of its type.")

    return parsed


def _of_stream(outer: Handler) -> Handler:
    """`outer`, whose iterator of requests raises at the first that could not be parsed."""

    async def parsed(requests: AsyncIterator[Any]) -> AsyncIterator[Any]:
        async for request in requests:
            if isinstance(request, LaurelError):
                raise request
            yield request

    async def handle(requests: AsyncIterator[Any], context: Any) -> Any:
        return await outer(parsed(requests), context)

    return handle


def _serialized(response: Message | bytes) -> bytes:
    return response if isinstance(response, bytes) else response.SerializeToString()


async def _unimplemented(_request: object, _context: object) -> None:
    raise Unimplemented("UNIMPLEMENTED", "This server does not offer this method.")


async def _refuse(request: LaurelError, _context: object) -> None:
    raise request


class _Calls:
    """How many calls are under way."""

    def __init__(self) -> None:
        self._count = 0
        self.none = asyncio.Event()
        self.none.set()

    def begin(self) -> None:
        self._count += 1
        if self._count == 1:
            self.none.clear()

    def end(self) -> None:
        self._count -= 1
        if not self._count:
            self.none.set()


class _Call:
    """The behaviour around one method."""

    def __init__(self, method: str, behaviour: Any, calls: _Calls) -> None:
        self._calls = calls
        self._method = method
        is_async = inspect.iscoroutinefunction(behaviour) or inspect.isasyncgenfunction(behaviour)
        self._behaviour: Handler = behaviour if is_async else _unimplemented
        self._seconds = metrics.RPC_SECONDS.labels(self._method)
        self._in_flight = metrics.RPCS_IN_FLIGHT.labels(self._method)
        self._codes: dict[str, Any] = {}

    async def unary(self, request: Any, context: Any) -> Any:
        started = time.perf_counter()
        code = "OK"
        self._begin(context)
        try:
            behaviour = _refuse if isinstance(request, LaurelError) else self._behaviour
            return await behaviour(request, context)
        except BaseException as error:  # noqa: BLE001 - every way out is counted, and passed on
            code = _code_of(error)
            await self._fail(error, context)
        finally:
            self._end(code)
            self._seconds.observe(time.perf_counter() - started)

    async def stream(self, request: Any, context: Any) -> None:
        code = "OK"
        self._begin(context)
        try:
            behaviour = _refuse if isinstance(request, LaurelError) else self._behaviour
            answer = behaviour(request, context)
            if inspect.isasyncgen(answer):
                await _write_all(answer, context)
            else:
                await answer
        except BaseException as error:  # noqa: BLE001 - as above
            code = "CANCELLED" if context.cancelled() else _code_of(error)
            if context.cancelled():
                # The client is gone: whatever a blocked write raised means just that.
                raise asyncio.CancelledError from None
            await self._fail(error, context)
        finally:
            self._end(code)

    def _begin(self, context: Any) -> None:
        current_call.set(_Caller(context))
        self._in_flight.inc()
        self._calls.begin()

    def _end(self, code: str) -> None:
        counter = self._codes.get(code)
        if counter is None:
            counter = self._codes[code] = metrics.RPCS.labels(self._method, code)
        counter.inc()
        self._in_flight.dec()
        self._calls.end()

    async def _fail(self, error: BaseException, context: Any) -> None:
        if isinstance(error, LaurelError):
            log.debug(
                "call refused", method=self._method, reason=error.reason, message=error.message
            )
            await _abort(context, status_of(error), CODES[type(error)])
        if isinstance(error, Exception) and not isinstance(error, aio.AbortError):
            log.error("call failed", method=self._method, exc_info=error)
            status = status_pb2.Status(
                code=grpc.StatusCode.INTERNAL.value[0],
                message=f"Internal error; it is logged under request id {request_id()}.",
            )
            await _abort(context, status, grpc.StatusCode.INTERNAL)
        raise error


async def _write_all(answers: AsyncIterator[Any], context: Any) -> None:
    async for answer in answers:
        await context.write(answer)


async def _abort(context: Any, status: status_pb2.Status, code: grpc.StatusCode) -> None:
    await context.abort(
        code, status.message, trailing_metadata=((DETAILS_KEY, status.SerializeToString()),)
    )


def _code_of(error: BaseException) -> str:
    if isinstance(error, LaurelError):
        return CODES[type(error)].name
    if isinstance(error, asyncio.CancelledError):
        return "CANCELLED"
    return "INTERNAL"


class _Caller:
    """Whose call it is. Reading its metadata costs more than a short call's other accounts: so
    only on demand, and once.
    """

    __slots__ = ("_actor", "_context", "_id")

    def __init__(self, context: Any) -> None:
        self._context = context
        self._id = ""
        self._actor = ""

    @property
    def request_id(self) -> str:
        """The caller's id where it sent a well-formed one, else a new one."""
        if not self._id:
            self._read()
        return self._id

    @property
    def actor(self) -> str:
        """Whom the caller says it acts for; "" when it says nothing well-formed."""
        if not self._id:
            self._read()
        return self._actor

    def _read(self) -> None:
        for key, value in self._context.invocation_metadata() or ():
            if key == REQUEST_ID_KEY and not self._id and _matches(_REQUEST_ID, value):
                self._id = value
            elif key == ACTOR_KEY and not self._actor and _matches(_ACTOR, value):
                self._actor = value
        if not self._id:
            self._id = secrets.token_hex(8)


def _matches(form: re.Pattern[str], value: object) -> bool:
    return isinstance(value, str) and form.fullmatch(value) is not None
