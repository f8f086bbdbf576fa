"""`laurel status`: both services' health and their own account of themselves."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from google.protobuf.message import Message
from grpc import aio
from grpc_health.v1 import health_pb2, health_pb2_grpc
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from shared.cli.calls import CALL_TIMEOUT_S, CommandError, Peer, connected
from shared.cli.output import message_document, plain
from shared.gen.laurel.leaderboard.v1 import admin_pb2 as leaderboard_admin
from shared.gen.laurel.leaderboard.v1 import admin_pb2_grpc as leaderboard_admin_grpc
from shared.gen.laurel.progress.v1 import admin_pb2 as progress_admin
from shared.gen.laurel.progress.v1 import admin_pb2_grpc as progress_admin_grpc

SERVING = "SERVING"


@dataclass
class ServiceState:
    """What one service answered, and what it failed to answer."""

    peer: Peer
    health: str = ""
    status: Message | None = None
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


async def both_states(progress: Peer, leaderboard: Peer) -> tuple[ServiceState, ServiceState]:
    """Ask both services at once; whatever fails is part of the answer."""
    return await asyncio.gather(_progress_state(progress), _leaderboard_state(leaderboard))


async def _progress_state(peer: Peer) -> ServiceState:
    state = ServiceState(peer)
    try:
        async with connected(peer) as channel:
            state.health = await _health(channel)
            stub = progress_admin_grpc.ProgressAdminServiceStub(channel)
            request = progress_admin.GetStatusRequest()
            state.status = await stub.GetStatus(request, timeout=CALL_TIMEOUT_S)
    except CommandError as error:
        state.error = error
    return state


async def _leaderboard_state(peer: Peer) -> ServiceState:
    state = ServiceState(peer)
    try:
        async with connected(peer) as channel:
            state.health = await _health(channel)
            stub = leaderboard_admin_grpc.LeaderboardAdminServiceStub(channel)
            request = leaderboard_admin.GetStatusRequest()
            state.status = await stub.GetStatus(request, timeout=CALL_TIMEOUT_S)
    except CommandError as error:
        state.error = error
    return state


async def _health(channel: aio.Channel) -> str:
    """The health of the whole server, such as "SERVING"."""
    request = health_pb2.HealthCheckRequest()
    answer = await health_pb2_grpc.HealthStub(channel).Check(request, timeout=CALL_TIMEOUT_S)
    return str(health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status))


def state_tables(state: ServiceState) -> Iterator[RenderableType]:
    """The state of one service, field by field."""
    health = state.health or "no answer"
    yield Text(f"{state.peer.name} at {state.peer.target}: {health}", style="bold")
    if state.error is not None:
        yield plain(f"  {state.error.line()}")
    if state.status is not None:
        table = Table(box=None, show_header=False)
        for name, value in _facts(message_document(state.status)):
            table.add_row(Text(f"  {name}"), plain(value))
        yield table


def _facts(document: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The fields of a message in protobuf's JSON mapping, as words and texts."""
    for name, value in document.items():
        words = name.replace("_", " ")
        if isinstance(value, Mapping):
            inner = ", ".join(f"{key} {part}" for key, part in value.items())
            yield words, inner
        else:
            yield words, str(value)
