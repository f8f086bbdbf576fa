"""Peers for the commands' tests: real gRPC servers whose answers a test writes down."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Container, Iterator
from contextlib import contextmanager
from typing import Any, TypeAlias

import grpc
from grpc import aio
from grpc_health.v1 import health_pb2, health_pb2_grpc

from shared.errors import LaurelError
from shared.gen.laurel.progress.v1 import admin_pb2 as progress_admin
from shared.gen.laurel.progress.v1 import admin_pb2_grpc as progress_admin_grpc
from shared.gen.laurel.types.v1 import types_pb2
from shared.status import DETAILS_KEY, status_of

START_TIMEOUT_S = 10


async def abort_with(context: aio.ServicerContext[Any, Any], error: LaurelError) -> None:
    """Fail the call as the services fail one."""
    status = status_of(error)
    code = next(code for code in grpc.StatusCode if code.value[0] == status.code)
    metadata = ((DETAILS_KEY, status.SerializeToString()),)
    await context.abort(code, error.message, metadata)


class Health(health_pb2_grpc.HealthServicer):
    """Answers one status for everything."""

    def __init__(self, status: str = "SERVING") -> None:
        self.status = status

    async def Check(
        self, request: health_pb2.HealthCheckRequest, context: Any
    ) -> health_pb2.HealthCheckResponse:
        return health_pb2.HealthCheckResponse(status=self.status)


class ImportPeer(progress_admin_grpc.ProgressAdminServiceServicer):
    """Counts what it is sent: attempts without a score and users of `rejects` are rejected, all
    else is recorded and stored.

    After `fails_after` messages the call fails with `failure`, or ends if that is None. Answers
    are held back until `holds` messages have come in, to see how many the caller sends ahead.
    """

    def __init__(
        self,
        *,
        fails_after: int | None = None,
        failure: LaurelError | None = None,
        holds: int = 0,
        rejects: Container[str] = (),
    ) -> None:
        self.messages: list[progress_admin.ImportProgressRequest] = []
        self.most_ahead = 0
        self._fails_after = fails_after
        self._failure = failure
        self._holds = holds
        self._rejects = rejects

    async def ImportProgress(
        self,
        request_iterator: AsyncIterator[progress_admin.ImportProgressRequest],
        context: aio.ServicerContext[Any, Any],
    ) -> None:
        counts = progress_admin.ImportProgressResponse()
        held: list[progress_admin.ImportProgressResponse] = []
        async for message in request_iterator:
            self.messages.append(message)
            held.append(self._answer(counts, message))
            if self._fails_after == len(self.messages):
                if self._failure is not None:
                    await abort_with(context, self._failure)
                return
            self.most_ahead = max(self.most_ahead, len(held))
            if len(held) >= self._holds:
                await context.write(held.pop(0))
        for answer in held:
            await context.write(answer)

    def _answer(
        self,
        counts: progress_admin.ImportProgressResponse,
        message: progress_admin.ImportProgressRequest,
    ) -> progress_admin.ImportProgressResponse:
        errors = [
            progress_admin.ImportError(
                index=counts.users.received + n,
                item=f"users[{n}]",
                reason="INVALID_FIELD",
                message="user.user_id: is rejected here",
            )
            for n, user in enumerate(message.users)
            if user.user_id in self._rejects
        ]
        counts.users.received += len(message.users)
        counts.users.rejected += len(errors)
        counts.users.stored = counts.users.received - counts.users.rejected
        counts.courses.received += len(message.courses)
        counts.courses.stored += len(message.courses)
        for n, item in enumerate(message.attempts):
            if item.attempt.HasField("correct_answers"):
                counts.recorded += 1
                counts.xp_credited += 0 if item.without_xp else 50
            else:
                problem = progress_admin.ImportError(
                    index=counts.received,
                    item=f"attempts[{n}]",
                    request_id=item.attempt.request_id,
                    reason="INVALID_SCORE",
                    message="correct_answers is not set",
                )
                errors.append(problem)
                counts.rejected += 1
            counts.received += 1
        answer = progress_admin.ImportProgressResponse()
        answer.CopyFrom(counts)
        answer.errors.extend(errors)
        return answer

    async def GetStatus(
        self, request: progress_admin.GetStatusRequest, context: Any
    ) -> progress_admin.GetStatusResponse:
        head = types_pb2.Position(epoch="e", sequence=12)
        return progress_admin.GetStatusResponse(
            head=head, users=3, oldest_sequence=9, version="0.1.0"
        )


Register: TypeAlias = Callable[[aio.Server], None]


def progress_admin_service() -> Register:
    """Health, and an import peer that tells its status."""

    def add(server: aio.Server) -> None:
        health_pb2_grpc.add_HealthServicer_to_server(Health(), server)
        progress_admin_grpc.add_ProgressAdminServiceServicer_to_server(ImportPeer(), server)

    return add


@contextmanager
def serving(*register: Register, port: int = 0) -> Iterator[str]:
    """A server on a port of loopback, a free one if it is 0, in a thread of its own; yields its
    address.
    """
    started, address = threading.Event(), [""]
    loop = asyncio.new_event_loop()
    stop = asyncio.Event()

    async def serve() -> None:
        server = aio.server()
        for add in register:
            add(server)
        address[0] = f"127.0.0.1:{server.add_insecure_port(f'127.0.0.1:{port}')}"
        await server.start()
        started.set()
        await stop.wait()
        await server.stop(None)
        # Calls that hang end with the server, while their loop still runs.
        calls = asyncio.all_tasks() - {asyncio.current_task()}
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()), daemon=True)
    thread.start()
    try:
        if not started.wait(START_TIMEOUT_S):
            raise TimeoutError("the peer did not start")
        yield address[0]
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(START_TIMEOUT_S)
        loop.close()
