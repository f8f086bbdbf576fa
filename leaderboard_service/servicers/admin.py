"""laurel.leaderboard.v1.LeaderboardAdminService. VerifyBoards is not offered yet."""

from importlib.metadata import version
from typing import Any

from google.protobuf.duration_pb2 import Duration

from leaderboard_service.administration import Administration, Report
from leaderboard_service.domain.answer import Position, Source
from leaderboard_service.servicers.encode import timestamp
from shared.gen.laurel.leaderboard.v1 import admin_pb2 as pb
from shared.gen.laurel.leaderboard.v1.admin_pb2_grpc import LeaderboardAdminServiceServicer
from shared.gen.laurel.types.v1 import types_pb2

_PROGRESS_S = 0.2


class LeaderboardAdminServicer(LeaderboardAdminServiceServicer):
    """Operations for administrators."""

    def __init__(self, administration: Administration) -> None:
        self._administration = administration

    async def GetStatus(self, request: pb.GetStatusRequest, context: Any) -> pb.GetStatusResponse:
        return _status(await self._administration.report())

    async def RebuildBoards(self, request: pb.RebuildBoardsRequest, context: Any) -> None:
        async for run in self._administration.rebuild(_PROGRESS_S):
            await context.write(
                pb.RebuildBoardsResponse(
                    standings_total=run.standings_total,
                    standings_loaded=run.standings_loaded,
                    position=_position(run.position),
                    complete=run.done.done(),
                )
            )

    async def ClearCache(
        self, request: pb.ClearCacheRequest, context: Any
    ) -> pb.ClearCacheResponse:
        return pb.ClearCacheResponse(keys_deleted=await self._administration.clear())


def _status(report: Report) -> pb.GetStatusResponse:
    status = report.status
    return pb.GetStatusResponse(
        state=pb.GetStatusResponse.State.ValueType(report.state),
        applied=_position(report.meta.position) if report.meta else None,
        head_sequence=status.head_sequence,
        lag=_duration(status.lag_us) if status.lag_us is not None else None,
        boards=report.boards,
        redis_memory_bytes=report.memory_bytes,
        answers_from_redis=report.answers[Source.REDIS],
        answers_from_postgresql=report.answers[Source.POSTGRESQL],
        last_rebuild_time=timestamp(status.last_rebuild_us),
        start_time=timestamp(report.start_us),
        version=version("laurel"),
    )


def _position(position: Position) -> types_pb2.Position:
    return types_pb2.Position(epoch=position.epoch, sequence=position.sequence)


def _duration(us: int) -> Duration:
    return Duration(seconds=us // 1_000_000, nanos=us % 1_000_000 * 1000)
