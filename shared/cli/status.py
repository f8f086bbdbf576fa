"""Both services' health and their own account of themselves, as `laurel status` asks for them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from grpc import aio
from grpc_health.v1 import health_pb2, health_pb2_grpc

from shared.cli.calls import CALL_TIMEOUT_S, CommandError, Peer, connected
from shared.cli.output import message_document
from shared.gen.laurel.leaderboard.v1 import admin_pb2 as leaderboard_admin
from shared.gen.laurel.leaderboard.v1.admin_pb2_grpc import LeaderboardAdminServiceStub
from shared.gen.laurel.progress.v1 import admin_pb2 as progress_admin
from shared.gen.laurel.progress.v1.admin_pb2_grpc import ProgressAdminServiceStub

SERVING = "SERVING"

S = TypeVar("S", progress_admin.GetStatusResponse, leaderboard_admin.GetStatusResponse)


@dataclass
class ServiceState(Generic[S]):
    """What one service answered, and what it failed to answer."""

    peer: Peer
    health: str = ""
    status: S | None = None
    error: CommandError | None = None

    @property
    def ok(self) -> bool:
        """Whether it is serving, and could be asked everything."""
        return self.health == SERVING and self.error is None

    def document(self) -> dict[str, Any]:
        """The state as a JSON object."""
        error = self.error
        return {
            "address": self.peer.target,
            "ok": self.ok,
            "health": self.health or None,
            "status": message_document(self.status) if self.status is not None else None,
            "error": None
            if error is None
            else {"status": error.status, "reason": error.reason, "message": error.message},
        }


@dataclass(frozen=True)
class States:
    """Both services at one moment."""

    progress: ServiceState[progress_admin.GetStatusResponse]
    leaderboard: ServiceState[leaderboard_admin.GetStatusResponse]

    @property
    def ok(self) -> bool:
        """Whether both are well."""
        return self.progress.ok and self.leaderboard.ok

    def document(self) -> dict[str, Any]:
        """Both states as a JSON object."""
        return {
            "progress_service": self.progress.document(),
            "leaderboard_service": self.leaderboard.document(),
        }


async def both_states(
    progress: Peer, leaderboard: Peer, timeout_s: float = CALL_TIMEOUT_S
) -> States:
    """Ask both services at once, each call within `timeout_s`; what fails is in the answer."""

    async def progress_status(channel: aio.Channel) -> progress_admin.GetStatusResponse:
        stub = ProgressAdminServiceStub(channel)
        return await stub.GetStatus(progress_admin.GetStatusRequest(), timeout=timeout_s)

    async def leaderboard_status(channel: aio.Channel) -> leaderboard_admin.GetStatusResponse:
        stub = LeaderboardAdminServiceStub(channel)
        return await stub.GetStatus(leaderboard_admin.GetStatusRequest(), timeout=timeout_s)

    return States(
        *await asyncio.gather(
            _state(progress, progress_status, timeout_s),
            _state(leaderboard, leaderboard_status, timeout_s),
        )
    )


async def _state(
    peer: Peer, status: Callable[[aio.Channel], Awaitable[S]], timeout_s: float
) -> ServiceState[S]:
    state: ServiceState[S] = ServiceState(peer)
    try:
        async with connected(peer) as channel:
            state.health = await _health(channel, timeout_s)
            state.status = await status(channel)
    except CommandError as error:
        state.error = error
    return state


async def _health(channel: aio.Channel, timeout_s: float) -> str:
    """The health of the whole server, such as "SERVING"."""
    request = health_pb2.HealthCheckRequest()
    answer = await health_pb2_grpc.HealthStub(channel).Check(request, timeout=timeout_s)
    return str(health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status))
