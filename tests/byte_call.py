"""Calls of any RPC with any bytes as the request, and what came of them."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from google.protobuf.descriptor import MethodDescriptor
from google.rpc import error_details_pb2, status_pb2
from grpc import StatusCode, aio

from shared.embedded.public_methods import path_of
from shared.status import DETAILS_KEY

_NOT_WRITTEN = "Internal error from Core"
"""grpc.aio's own words; a server cannot have said them."""
Metadata = Sequence[tuple[str, str | bytes]]


class Answer(NamedTuple):
    """How a call ended; the first message that it brought, if any."""

    code: StatusCode
    message: str = ""
    details: bytes = b""
    body: bytes | None = None

    @property
    def reason(self) -> str:
        """The ErrorInfo's reason, "" without one."""
        info = error_details_pb2.ErrorInfo()
        for detail in status_pb2.Status.FromString(self.details).details:
            if detail.Unpack(info):
                return str(info.reason)
        return ""


async def call(
    channel: aio.Channel,
    method: MethodDescriptor,
    request: bytes,
    *,
    metadata: Metadata = (),
    timeout_s: float = 20.0,
    read: int = 1,
) -> Answer:
    """One call with one request. Of a stream of answers up to `read` are read; then it is
    cancelled, and that is OK.
    """
    # To the server one request that is sent together with its end is a stream of requests too.
    # grpc.aio makes INTERNAL of a stream that is refused before its end was sent.
    kind: Any = channel.unary_stream if method.server_streaming else channel.unary_unary
    made = kind(path_of(method))(request, metadata=tuple(metadata), timeout=timeout_s)
    body: bytes | None = None
    try:
        if not method.server_streaming:
            return Answer(StatusCode.OK, body=await made)
        for _ in range(read):
            found = await made.read()
            if found is aio.EOF:
                break
            body = found if body is None else body
        return Answer(StatusCode.OK, body=body)
    except aio.AioRpcError as error:
        return answer_of(error, body)
    finally:
        made.cancel()


async def converse(
    channel: aio.Channel,
    method: MethodDescriptor,
    requests: Sequence[bytes],
    *,
    metadata: Metadata = (),
    timeout_s: float = 20.0,
    stay: bool = False,
) -> Answer:
    """One call with a stream of requests, each sent when the one before is answered.

    After the last it is cancelled, and that is OK; with `stay` it is left open, without a word,
    until it is ended. CANCELLED: it was refused while a request was on its way, and grpc.aio does
    not tell for what.
    """
    kind: Any = channel.stream_stream(path_of(method))
    made = kind(metadata=tuple(metadata), timeout=timeout_s)
    try:
        for request in requests:
            await made.write(request)
            await made.read()
        if stay:
            while await made.read() is not aio.EOF:
                pass
        return Answer(StatusCode.OK)
    except aio.AioRpcError as error:
        if error.details() == _NOT_WRITTEN:
            return Answer(StatusCode.CANCELLED)
        return answer_of(error)
    finally:
        made.cancel()


async def call_without_request(
    channel: aio.Channel, method: MethodDescriptor, *, metadata: Metadata, end: bool
) -> Answer:
    """One call that sends nothing, and ends what it sends or does not."""
    kind: Any = channel.stream_stream(path_of(method))
    made = kind(metadata=tuple(metadata), timeout=20.0)
    try:
        if end:
            await made.done_writing()
        await made.read()
        return Answer(StatusCode.OK)
    except aio.AioRpcError as error:
        return answer_of(error)
    finally:
        made.cancel()


def answer_of(error: aio.AioRpcError, body: bytes | None = None) -> Answer:
    """The same of a call that failed."""
    details = dict(error.trailing_metadata() or ()).get(DETAILS_KEY, b"")
    assert isinstance(details, bytes)
    return Answer(error.code(), error.details() or "", details, body)
