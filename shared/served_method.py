"""One method as it is served: who may, bounds, rules, errors → status, metrics, logs."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc
import structlog
from google.protobuf.message import Message
from grpc import aio

from shared import metrics, validation
from shared.access import AccessRule
from shared.caller import Caller, current_call, request_id
from shared.errors import LaurelError, ResourceExhausted
from shared.gate import Gate, Stay, check_size
from shared.identity import Identity
from shared.load import check_in_time
from shared.status import CODES
from shared.wire import WrittenContext, fail, only_request, parsed, refuse, unimplemented

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
        self._behaviour: Handler = behaviour if is_async else unimplemented
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
            request = await self._requested(identity, requests, context, stay)
            return await self._behaviour(request, context)
        finally:
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
                request = await self._requested(identity, requests, context, stay)
                written = WrittenContext(context)
                answer = self._behaviour(request, written)
                if inspect.isasyncgen(answer):
                    await _write_all(answer, written)
                else:
                    await answer
        finally:
            stay.end()

    async def _requested(self, identity: Identity, requests: Any, context: Any, stay: Stay) -> Any:
        """The request, or the iterator of requests, that the servicer gets.

        Only now the call takes a place in this process: whoever is slow to send, or held up
        before, takes none from others.
        """
        if self._streams_requests:
            stay.begin()
            return self._each(identity, requests)
        data = await only_request(context)
        check_in_time(context.time_remaining())
        stay.begin()
        return self._checked(identity, data)

    async def _each(
        self, identity: Identity, requests: AsyncIterator[bytes]
    ) -> AsyncIterator[Message]:
        async for data in requests:
            yield self._checked(identity, data)

    def _checked(self, identity: Identity, data: bytes) -> Message:
        check_size(identity, data)
        request: Message = parsed(self._parse, data)
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
        """Ends the call as the error says. The frames that wait here hold no request, as those
        that the error has passed may: see `forget_frames`.
        """
        if isinstance(error, LaurelError):
            if isinstance(error, ResourceExhausted):
                metrics.EXHAUSTED.labels(error.reason).inc()
            log.debug(
                "call refused", method=self._method, reason=error.reason, message=error.message
            )
            await refuse(context, error)
            return
        if isinstance(error, aio.InternalError):
            raise asyncio.CancelledError  # Nothing can be sent: the client is gone.
        if isinstance(error, Exception) and not isinstance(error, aio.AbortError):
            log.error("call failed", method=self._method, exc_info=error)
            text = f"Internal error; it is logged under request id {request_id()}."
            await fail(context, error, text)
            return
        raise error


async def _write_all(answers: AsyncIterator[Any], context: Any) -> None:
    async for answer in answers:
        await context.write(answer)


def _code_of(error: BaseException) -> str:
    if isinstance(error, LaurelError):
        return CODES[type(error)].name
    if isinstance(error, asyncio.CancelledError | aio.InternalError):
        return "CANCELLED"
    return "INTERNAL"
