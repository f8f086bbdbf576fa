"""Writes down what clients ask and what they are told."""

import asyncio
import time
from dataclasses import dataclass, field
from typing import Any

from google.protobuf.message import Message
from grpc import aio

from shared.status import error_from_rpc
from tests.faults.recording import Call, Failure, Recorded, Stream
from tests.faults.workload.connection import Connection


def failure_of(error: aio.AioRpcError) -> Failure:
    """The reason is that of ErrorInfo; "" when gRPC itself speaks."""
    typed = error_from_rpc(error)
    trailers = [*(error.initial_metadata() or ()), *(error.trailing_metadata() or ())]
    texts = [error.details() or "", *typed.metadata, *typed.metadata.values()]
    texts += [f"{one.field}: {one.description}" for one in typed.violations]
    texts += [
        value.decode("latin-1") if isinstance(value, bytes) else str(value) for _, value in trailers
    ]
    code = error.code().name
    return Failure(
        code=code,
        reason="" if typed.reason == code else typed.reason,
        message=error.details() or "",
        texts=tuple(texts),
    )


class Watch:
    """A server stream that is read one message at a time, and written down."""

    def __init__(self, recorder: "Recorder", call: Any, stream: Stream) -> None:
        self._recorder = recorder
        self._call = call
        self.stream = stream

    async def read(self) -> Any:
        """The next message; None at the end, whatever kind of end it is."""
        try:
            message = await self._call.read()
        except aio.AioRpcError as error:
            self.stream.failure = None if self.stream.left else failure_of(error)
            return self._over()
        except asyncio.CancelledError:
            if not self.stream.left:
                raise
            return self._over()
        if message is aio.EOF:
            return self._over()
        self.stream.messages.append((self._recorder.now(), message))
        return message

    def leave(self) -> None:
        """Breaks the stream off; whoever reads finds its end."""
        if not self.stream.ended:
            self.stream.left = True
            self._call.cancel()

    def _over(self) -> None:
        self.stream.ended = self._recorder.now()
        self._recorder.open.discard(self)


@dataclass
class Recorder:
    """Fills `recorded`. `began` is when the run did, by the monotonic clock."""

    recorded: Recorded
    began: float = field(default_factory=time.monotonic)
    open: set[Watch] = field(default_factory=set)

    def now(self) -> float:
        """Seconds since the run began."""
        return time.monotonic() - self.began

    def asker(self, client: str, connection: Connection) -> "Asker":
        return Asker(self, client, connection)

    def leave_all(self) -> None:
        """Breaks off every stream."""
        for watch in list(self.open):
            watch.leave()


@dataclass(frozen=True)
class Asker:
    """What one client does to the stack; all of it is written down."""

    recorder: Recorder
    client: str
    connection: Connection

    async def call(
        self, path: str, request: Message, *, deadline_s: float, follows: str = "", turn: int = 0
    ) -> Call:
        """One unary call of "Service/Method", with its answer or its failure."""
        method = self.connection.method(path, turn)
        begun = self.recorder.now()
        response, failure = None, None
        try:
            response = await method(request, timeout=deadline_s)
        except aio.AioRpcError as error:
            failure = failure_of(error)
        service, _, name = path.partition("/")
        call = Call(
            client=self.client,
            service=service,
            method=name,
            request=request,
            begun=begun,
            ended=self.recorder.now(),
            response=response,
            failure=failure,
            follows=follows,
        )
        self.recorder.recorded.calls.append(call)
        return call

    def watch(self, path: str, request: Message, turn: int = 0) -> Watch:
        """Begins a server stream."""
        service, _, name = path.partition("/")
        begun = self.recorder.now()
        stream = Stream(self.client, service, name, request, begun)
        self.recorder.recorded.streams.append(stream)
        watch = Watch(self.recorder, self.connection.method(path, turn)(request), stream)
        self.recorder.open.add(watch)
        return watch
