"""Health and reflection, which ask for no token: strangers get answers, within bounds."""

from contextlib import AsyncExitStack
from typing import Any

import pytest
from grpc import StatusCode, aio
from grpc_health.v1 import health_pb2, health_pb2_grpc
from structlog.testing import capture_logs

from shared.errors import DeadlineExceeded, InvalidInput, LaurelError, ResourceExhausted
from shared.open_methods import MAX_REQUEST_BYTES, MAX_STREAMS
from tests.access import dial
from tests.progress import Progress, eventually, refused

CHECK = "/grpc.health.v1.Health/Check"
WATCH = "/grpc.health.v1.Health/Watch"
REFLECTION = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"
OLD_REFLECTION = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"
GARBAGE = (b"\xff\xff\xff", b"\x0a\x01\xff\x12\x01\xff", b"\x0a\x05a")


async def asked(channel: aio.Channel, path: str, data: bytes) -> bytes:
    """The first answer."""
    method: Any
    if path == CHECK:
        method = channel.unary_unary(path)
        return bytes(await method(data))
    if path == WATCH:
        method = channel.unary_stream(path)
        return bytes(await method(data).read())
    method = channel.stream_stream(path)
    return bytes(await method(iter([data])).read())


@pytest.mark.parametrize("path", [CHECK, WATCH, REFLECTION, OLD_REFLECTION])
async def test_what_is_no_message_is_refused_and_learns_nothing(
    progress: Progress, path: str
) -> None:
    cases: list[tuple[bytes, type[LaurelError], str]] = [
        (data, InvalidInput, "MALFORMED_REQUEST") for data in GARBAGE
    ]
    cases.append((b"\x0a" * (MAX_REQUEST_BYTES + 1), ResourceExhausted, "REQUEST_TOO_LARGE"))
    with capture_logs() as logs:
        for data, kind, reason in cases:
            async with refused(kind, reason) as caught:
                await asked(progress.channel, path, data)
            assert "Decode" not in caught[0].message
    assert not [one for one in logs if one["event"] == "call failed"]


async def test_a_stranger_needs_no_token_and_may_not_do_more(progress: Progress) -> None:
    async with dial(progress.target, authorization="") as stranger:
        check = health_pb2_grpc.HealthStub(stranger).Check
        assert (await check(health_pb2.HealthCheckRequest())).status == 1
        with pytest.raises(aio.AioRpcError) as caught:
            await check(health_pb2.HealthCheckRequest(service="no\x1b[31m such"))
        assert caught.value.code() is StatusCode.NOT_FOUND
        with pytest.raises(aio.AioRpcError) as caught:
            await health_pb2_grpc.HealthStub(stranger).List(health_pb2.HealthListRequest())
        assert caught.value.code() is StatusCode.UNIMPLEMENTED
        assert "NotImplemented" not in str(caught.value.details())


async def test_the_streams_of_strangers_are_bounded_and_calls_go_on(progress: Progress) -> None:
    async with AsyncExitStack() as stack:
        channel = await stack.enter_async_context(dial(progress.target, authorization=""))
        watch: Any = channel.unary_stream(WATCH)
        streams = [watch(b"") for _ in range(MAX_STREAMS)]
        for stream in streams:
            assert await stream.read()
        async with refused(ResourceExhausted, "TOO_MANY_STREAMS"):
            await asked(channel, REFLECTION, b"\x3a\x00")
        assert await asked(channel, CHECK, b"")
        streams[0].cancel()

        async def has_room() -> bool:
            try:
                return bool(await asked(channel, REFLECTION, b"\x3a\x00"))
            except aio.AioRpcError:
                return False

        await eventually(has_room, "an ended stream leaves its place")


@pytest.mark.parametrize("path", [CHECK, WATCH])
@pytest.mark.parametrize(
    ("end", "kind", "reason"),
    [(True, InvalidInput, "MALFORMED_REQUEST"), (False, DeadlineExceeded, "REQUEST_TOO_SLOW")],
)
async def test_a_call_without_a_request_is_not_waited_for(
    progress: Progress,
    monkeypatch: pytest.MonkeyPatch,
    path: str,
    end: bool,
    kind: type[LaurelError],
    reason: str,
) -> None:
    monkeypatch.setattr("shared.open_methods.REQUEST_SECONDS", 0.1)
    method: Any = progress.channel.stream_stream(path)
    call = method(timeout=20)
    with capture_logs() as logs:
        async with refused(kind, reason):
            if end:
                await call.done_writing()
            await call.read()
    assert not [one for one in logs if one["event"] == "call failed"]
