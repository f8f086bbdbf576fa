"""A service as a process of its own, which can be killed: ProgressService if not said otherwise."""

import asyncio
import os
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from grpc import aio
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.access import AUTH_SECRET, open_channel
from tests.ports import free_port
from tests.progress import eventually
from tests.signing import SECRET


async def start(
    errors: int = PIPE, /, module: str = "progress_service", **settings: str
) -> Process:
    """The service with these `LAUREL_…` settings alone, and secrets. A pipe that nobody reads
    fills up: for more than a few lines `errors` must lead elsewhere.
    """
    kept = {key: value for key, value in os.environ.items() if not key.startswith("LAUREL_")}
    given = {
        f"LAUREL_{key.upper()}": value
        for key, value in {
            "token_secret": SECRET,
            "auth_secret": AUTH_SECRET,
            **settings,
        }.items()
    }
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", module, env=kept | given, stdout=PIPE, stderr=errors
    )


@asynccontextmanager
async def serving(
    errors: int = PIPE, /, module: str = "progress_service", **settings: str
) -> AsyncIterator[tuple[Process, aio.Channel]]:
    """The process on a free port unless one is given, SERVING; killed at the end of the block."""
    port = f"{module.removesuffix('_service')}_port"
    settings = {port: str(free_port()), **settings}
    process = await start(errors, module, **settings)
    channel = open_channel(f"127.0.0.1:{settings[port]}", own_connection=True)
    try:

        async def is_serving() -> bool:
            assert process.returncode is None
            stub = health_pb2_grpc.HealthStub(channel)
            try:
                answer = await stub.Check(health_pb2.HealthCheckRequest(), timeout=5)
            except aio.AioRpcError:
                return False
            return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)

        await eventually(is_serving, "the process is serving")
        yield process, channel
    finally:
        await channel.close()
        if process.returncode is None:
            process.kill()
            await process.communicate()
