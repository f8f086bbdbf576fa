"""`python -m shared.embedded.serving ADDRESS…` waits until every server there is SERVING.

A program of its own, so that the supervisor stays free of gRPC's threads and can fork. The calls
use TLS as LAUREL_TLS_… say.
"""

import asyncio
import sys

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from shared.channels import open_channel
from shared.renewed_channel import Credentials
from shared.settings import CommonSettings
from shared.tls import channel_credentials

POLL_S = 0.05


async def wait_until_serving(address: str, credentials: Credentials | None) -> None:
    """Returns when grpc.health.v1 at `address` says that the server as a whole is SERVING."""
    async with open_channel(address, credentials=credentials) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        while True:
            try:
                answer = await stub.Check(health_pb2.HealthCheckRequest(service=""), timeout=2.0)
                if answer.status == health_pb2.HealthCheckResponse.SERVING:
                    return
            except grpc.RpcError:
                pass  # not there yet; asked again
            await asyncio.sleep(POLL_S)


async def wait_for_all(addresses: list[str], credentials: Credentials | None) -> None:
    """Returns when the servers at all addresses are SERVING."""
    async with asyncio.TaskGroup() as group:
        for address in addresses:
            group.create_task(wait_until_serving(address, credentials))


if __name__ == "__main__":
    asyncio.run(wait_for_all(sys.argv[1:], channel_credentials(CommonSettings.load())))
