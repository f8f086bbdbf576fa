"""Says SERVING while at least one of the two stores can answer."""

import asyncio

import structlog
from grpc import aio
from grpc_health.v1 import health_pb2, health_pb2_grpc

from leaderboard_service.breaker import RedisBreaker
from leaderboard_service.store.generations import Generations
from shared.gen.laurel.progress.v1 import progress_pb2
from shared.server import RpcServer

log = structlog.get_logger(__name__)

_LOOK_S = 0.25
_PROBE_S = 1.0
_STANDINGS = progress_pb2.DESCRIPTOR.services_by_name["StandingsService"].full_name


class HealthWatch:
    """Keeps grpc.health.v1 true: asks ProgressService only when there are no boards in Redis."""

    def __init__(
        self,
        server: RpcServer,
        generations: Generations,
        breaker: RedisBreaker,
        progress: aio.Channel,
    ) -> None:
        self._server = server
        self._generations = generations
        self._breaker = breaker
        self._progress = health_pb2_grpc.HealthStub(progress)

    async def run(self) -> None:
        """Looks four times a second, for ever."""
        known: bool | None = None
        while True:
            serving = await self._can_answer()
            if serving != known and not self._server.draining.is_set():
                log.info("serving" if serving else "neither redis nor postgresql answers")
                await self._server.set_serving(serving=serving)
                known = serving
            await asyncio.sleep(_LOOK_S)

    async def _can_answer(self) -> bool:
        if self._breaker.closed and self._generations.current is not None:
            return True
        request = health_pb2.HealthCheckRequest(service=_STANDINGS)
        try:
            answer = await self._progress.Check(request, timeout=_PROBE_S)
        except aio.AioRpcError:
            return False
        return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)
