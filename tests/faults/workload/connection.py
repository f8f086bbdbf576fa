"""One client's own connections to the stack, and the methods that it calls there."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from grpc import aio

from shared.gen.laurel.leaderboard.v1 import admin_pb2_grpc as leaderboard_admin
from shared.gen.laurel.leaderboard.v1 import leaderboard_pb2_grpc as leaderboard
from shared.gen.laurel.progress.v1 import admin_pb2_grpc as progress_admin
from shared.gen.laurel.progress.v1 import catalog_pb2_grpc as catalog
from shared.gen.laurel.progress.v1 import progress_pb2_grpc as progress
from tests import access

_YEAR_S = 366 * 86_400
_PROGRESS: dict[str, Callable[[aio.Channel], Any]] = {
    "ProgressService": progress.ProgressServiceStub,
    "StandingsService": progress.StandingsServiceStub,
    "CatalogService": catalog.CatalogServiceStub,
    "ProgressAdminService": progress_admin.ProgressAdminServiceStub,
}
_LEADERBOARD: dict[str, Callable[[aio.Channel], Any]] = {
    "LeaderboardService": leaderboard.LeaderboardServiceStub,
    "LeaderboardAdminService": leaderboard_admin.LeaderboardAdminServiceStub,
}
# A hop that is healed is used again within a second: clients of a product may be as eager.
_OPTIONS = (
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.max_receive_message_length", 16 * 1024 * 1024),
    ("grpc.max_send_message_length", 16 * 1024 * 1024),
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.min_reconnect_backoff_ms", 1_000),
    ("grpc.max_reconnect_backoff_ms", 500),
)

SMALL_WINDOW = (("grpc.http2.lookahead_bytes", 1024), ("grpc.http2.bdp_probe", 0))
"""Of what is sent to a reader who has stopped little is under way; the rest waits in the server."""


@dataclass(frozen=True)
class Addresses:
    """Where clients reach each replica of the two services."""

    progress: Sequence[str]
    leaderboard: Sequence[str]


class Connection:
    """A channel of its own to each replica. Its token outlives every jump of a clock."""

    def __init__(
        self,
        addresses: Addresses,
        role: str,
        subject: str,
        first: int = 0,
        options: Sequence[tuple[str, int]] = (),
    ) -> None:
        """`first`: the number of the replica that is called unless another turn is asked for.
        `options`: of its channels, beside those of all clients.
        """
        now = int(time.time())
        bearer = access.bearer(role, subject, iat=now - 20 * _YEAR_S, exp=now + 20 * _YEAR_S)
        self._first = first
        self._channels: list[aio.Channel] = []
        self._stubs: dict[str, list[Any]] = {}
        for kinds, targets in (
            (_PROGRESS, addresses.progress),
            (_LEADERBOARD, addresses.leaderboard),
        ):
            channels = [access.dial(target, (*_OPTIONS, *options), bearer) for target in targets]
            self._channels += channels
            for name, stub in kinds.items():
                self._stubs[name] = [stub(channel) for channel in channels]

    def method(self, path: str, turn: int = 0) -> Callable[..., Any]:
        """The callable of "Service/Method" at this client's replica, or so many further."""
        service, _, name = path.partition("/")
        stubs = self._stubs[service]
        found: Callable[..., Any] = getattr(stubs[(self._first + turn) % len(stubs)], name)
        return found

    async def close(self) -> None:
        for channel in self._channels:
            await channel.close()
