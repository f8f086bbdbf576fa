"""A server goes on whatever a connection brings."""

import asyncio
from typing import Any

from grpc import aio
from grpc_health.v1 import health_pb2, health_pb2_grpc

from shared.gen.laurel.progress.v1 import progress_pb2
from tests.junk import call_of
from tests.progress import Progress, eventually


async def test_a_path_that_is_no_text_ends_no_call_and_the_server_listens_again(
    progress: Progress,
) -> None:
    port = int(progress.target.rpartition(":")[2])
    watch: Any = progress.progress.WatchXpDeltas(progress_pb2.WatchXpDeltasRequest())
    await watch.read()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(call_of({b":path": b"\xff"}))
    # grpc's server has stopped.
    async with asyncio.timeout(20):
        await reader.readuntil(b"shutdown")

    async def is_serving() -> bool:
        async with aio.insecure_channel(progress.target) as channel:
            health = health_pb2_grpc.HealthStub(channel)
            try:
                answer = await health.Check(health_pb2.HealthCheckRequest(), timeout=1)
            except aio.AioRpcError:
                return False
            return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)

    await eventually(is_serving, "another listens")
    await progress.put_users("ann")
    # The stream that was open goes on.
    while not (answer := await watch.read()).changes:
        pass
    assert answer.changes[0].profile_change.user_id == "ann"
    watch.cancel()
    writer.close()
