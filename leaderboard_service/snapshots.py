"""What PostgreSQL has on boards, for comparing: counts, and the standings of a group."""

import asyncio
import time
from collections.abc import Callable, Collection, Iterable

from grpc import aio

from leaderboard_service.changes import name_of
from leaderboard_service.domain.answer import Position
from leaderboard_service.domain.board import Floors, parse_board_name
from leaderboard_service.domain.expected import Expected
from leaderboard_service.domain.groups import Group
from leaderboard_service.fallback import board_message
from leaderboard_service.pace import rest
from leaderboard_service.rebuild import SnapshotCut, floor_messages
from leaderboard_service.streams import next_message
from shared.gen.laurel.progress.v1 import progress_pb2 as pb
from shared.gen.laurel.progress.v1.progress_pb2_grpc import StandingsServiceStub
from shared.gen.laurel.types.v1 import types_pb2
from shared.status import error_from_peer

_TOO_MANY = "TOO_MANY_SNAPSHOTS"
_SILENCE_S = 30.0
_PATIENCE_S = 60.0
_AGAIN_S = 1.0

Take = Callable[[str, Collection[pb.Standing]], None]


class Snapshots:
    """One at a time in this process, since ProgressService makes few at once; read at a pace.

    Raises aio.AioRpcError, TimeoutError and SnapshotCut.
    """

    def __init__(self, stub: StandingsServiceStub) -> None:
        self._stub = stub
        self._free = asyncio.Lock()

    async def counts(self, boards: Iterable[str], floors: Floors) -> dict[str, int]:
        """How many standings each of these boards has, those of hidden users included; without
        any named: each board from the floors on.
        """
        counts: dict[str, int] = {}

        def take(board: str, standings: Collection[pb.Standing]) -> None:
            counts[board] = counts.get(board, 0) + len(standings)

        await self._read(_request(boards, floor_messages(floors)), take)
        return counts

    async def expected(self, group: Group) -> tuple[Expected, Position]:
        """The standings of a group, and as of when."""
        expected = Expected(group)

        def take(board: str, standings: Collection[pb.Standing]) -> None:
            for one in standings:
                expected.load(board, one.user_id, one.score, hidden=one.hidden)

        position = await self._read(_request(group.boards, ()), take)
        expected.sequence = position.sequence
        return expected, Position(position.epoch, position.sequence)

    async def _read(self, request: pb.SnapshotStandingsRequest, take: Take) -> types_pb2.Position:
        give_up = time.monotonic() + _PATIENCE_S
        async with self._free:
            while True:
                try:
                    return await self._read_once(request, take)
                except aio.AioRpcError as error:
                    if error_from_peer(error).reason != _TOO_MANY or time.monotonic() > give_up:
                        raise
                await asyncio.sleep(_AGAIN_S)

    async def _read_once(
        self, request: pb.SnapshotStandingsRequest, take: Take
    ) -> types_pb2.Position:
        call = self._stub.SnapshotStandings(request)
        try:
            while (message := await next_message(call, _SILENCE_S)) is not None:
                if message.standings:
                    take(name_of(message.board), message.standings)
                if message.complete:
                    return message.position
                await rest()
        finally:
            call.cancel()
        raise SnapshotCut("the snapshot ended before it was complete")


def _request(
    boards: Iterable[str], floors: Iterable[pb.PeriodFloor]
) -> pb.SnapshotStandingsRequest:
    return pb.SnapshotStandingsRequest(
        boards=[board_message(parse_board_name(board)) for board in boards],
        floors=floors,
        without_profiles=True,
    )
