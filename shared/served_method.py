"""One method as it is served: who may, bounds, rules, errors → status, metrics, logs."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc
import structlog
from google.protobuf.message import DecodeError, Message
from google.rpc import status_pb2
from grpc import aio

from shared import metrics, validation
from shared.access import AccessRule
from shared.caller import Caller, current_call, request_id
from shared.errors import InvalidInput, LaurelError, Unimplemented
from shared.gate import Gate, check_size
from shared.identity import Identity
from shared.status import CODES, DETAILS_KEY, status_of

log = structlog.get_logger(__name__)

Handler = Callable[[Any, Any], Any]


class CallCount:
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


class ServedMethod:
    """The behaviour around one method."""

    def __init__(
        self,
        method: str,
        handler: grpc.RpcMethodHandler[Any, Any],
        rule: AccessRule,
        gate: Gate,
        calls: CallCount,
    ) -> None:
        self._calls = calls
        self._gate = gate
        self._method = method
        self._rule = rule
        self._parse = handler.request_deserializer
        self._streams_requests = handler.request_streaming
        behaviour: Any = (
            handler.unary_unary
            or handler.unary_stream
            or handler.stream_unary
            or handler.stream_stream
        )
        is_async = inspect.iscoroutinefunction(behaviour) or inspect.isasyncgenfunction(behaviour)
        self._behaviour: Handler = behaviour if is_async else _unimplemented
        self._seconds = metrics.RPC_SECONDS.labels(self._method)
        self._in_flight = metrics.RPCS_IN_FLIGHT.labels(self._method)
        self._codes: dict[str, Any] = {}

    async def unary(self, requests: Any, context: Any) -> Any:
        started = time.perf_counter()
        code = "OK"
        caller = self._begin(context)
        try:
            try:
                return await self._answer(caller, requests, context)
            except BaseException as error:  # noqa: BLE001 - every way out is counted, and passed on
                failure = error
            code = _code_of(failure)
            await self._fail(failure, context)
        finally:
            self._end(code)
            self._seconds.observe(time.perf_counter() - started)

    async def _answer(self, caller: Caller, requests: Any, context: Any) -> Any:
        identity = await self._gate.identify(caller)
        self._rule.admit(identity)
        stay = await self._gate.enter(identity, context, stream=False)
        try:
            return await self._behaviour(
                await self._requested(identity, requests, context), context
            )
        finally:
            if stay is not None:
                stay.end()

    async def stream(self, requests: Any, context: Any) -> None:
        code = "OK"
        caller = self._begin(context)
        try:
            try:
                return await self._write(caller, requests, context)
            except BaseException as error:  # noqa: BLE001 - as above
                failure = error
            if context.cancelled():
                # The client is gone: whatever a blocked write raised means just that.
                code = "CANCELLED"
                raise asyncio.CancelledError
            code = _code_of(failure)
            await self._fail(failure, context)
        finally:
            self._end(code)

    async def _write(self, caller: Caller, requests: Any, context: Any) -> None:
        identity = await self._gate.identify(caller)
        self._rule.admit(identity)
        stay = await self._gate.enter(identity, context, stream=True)
        try:
            async with self._gate.while_valid(caller):
                answer = self._behaviour(
                    await self._requested(identity, requests, context), context
                )
                if inspect.isasyncgen(answer):
                    await _write_all(answer, context)
                else:
                    await answer
        finally:
            if stay is not None:
                stay.end()

    async def _requested(self, identity: Identity, requests: Any, context: Any) -> Any:
        """The request, or the iterator of requests, that the servicer gets."""
        if self._streams_requests:
            return self._each(identity, requests)
        data = await context.read()
        if data is aio.EOF:
            raise InvalidInput("MALFORMED_REQUEST", "The call has ended without a request.")
        return self._checked(identity, data)

    async def _each(
        self, identity: Identity, requests: AsyncIterator[bytes]
    ) -> AsyncIterator[Message]:
        async for data in requests:
            yield self._checked(identity, data)

    def _checked(self, identity: Identity, data: bytes) -> Message:
        check_size(identity, data)
        try:
            request: Message = self._parse(data) if self._parse else data  # type: ignore[assignment]
        except DecodeError:
            raise InvalidInput(
                "MALFORMED_REQUEST", "The request is not a message of its type."
            ) from None
        self._rule.check(identity, request)
        validation.check(request)
        return request

    def _begin(self, context: Any) -> Caller:
        caller = Caller(context)
        current_call.set(caller)
        self._in_flight.inc()
        self._calls.begin()
        return caller

    def _end(self, code: str) -> None:
        counter = self._codes.get(code)
        if counter is None:
            counter = self._codes[code] = metrics.RPCS.labels(self._method, code)
        counter.inc()
        self._in_flight.dec()
        self._calls.end()

    async def _fail(self, error: BaseException, context: Any) -> None:
        """Ends the call as the error says.

        No frame that the error has passed may be reached from here: see `_abort`.
        """
        if isinstance(error, LaurelError):
            log.debug(
                "call refused", method=self._method, reason=error.reason, message=error.message
            )
            _forget_frames(error)
            await _abort(context, status_of(error), CODES[type(error)])
            return
        if isinstance(error, aio.InternalError):
            raise asyncio.CancelledError  # Nothing can be sent: the client is gone.
        if isinstance(error, Exception) and not isinstance(error, aio.AbortError):
            log.error("call failed", method=self._method, exc_info=error)
            status = status_pb2.Status(
                code=grpc.StatusCode.INTERNAL.value[0],
                message=f"Internal error; it is logged under request id {request_id()}.",
            )
            _forget_frames(error)
            await _abort(context, status, grpc.StatusCode.INTERNAL)
            return
        raise error


def _forget_frames(error: BaseException) -> None:
    error.__traceback__ = error.__context__ = error.__cause__ = None


async def _unimplemented(_request: object, _context: object) -> None:
    raise Unimplemented("UNIMPLEMENTED", "This server does not offer this method.")


async def _write_all(answers: AsyncIterator[Any], context: Any) -> None:
    async for answer in answers:
        await context.write(answer)


async def _abort(context: Any, status: status_pb2.Status, code: grpc.StatusCode) -> None:
    """Ends the call with a status.

    grpc keeps what `abort` raises with the call, and raises it again when the handler returns. If
    its traceback led to our frames, and through them to the call, that would be a cycle: the call
    and what has come of its request, which may be large, would stay until the collector comes by.
    """
    try:
        await context.abort(
            code, status.message, trailing_metadata=((DETAILS_KEY, status.SerializeToString()),)
        )
    except aio.AbortError as aborted:
        _forget_frames(aborted)
    except aio.InternalError:
        raise asyncio.CancelledError from None  # as above


def _code_of(error: BaseException) -> str:
    if isinstance(error, LaurelError):
        return CODES[type(error)].name
    if isinstance(error, asyncio.CancelledError | aio.InternalError):
        return "CANCELLED"
    return "INTERNAL"
