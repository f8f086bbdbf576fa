"""laurel.leaderboard.v1.LeaderboardAdminService."""

from collections.abc import Sequence
from datetime import date
from importlib.metadata import version
from typing import Any

from google.protobuf.duration_pb2 import Duration

from leaderboard_service.administration import Administration, Report, Verified
from leaderboard_service.civil_clock import CivilClock
from leaderboard_service.domain.answer import Position, Source
from leaderboard_service.domain.board import Board, parse_board_name
from leaderboard_service.domain.request import resolve_board
from leaderboard_service.fallback import board_message
from leaderboard_service.servicers.encode import timestamp
from shared.errors import InvalidInput, invalid_field
from shared.gen.laurel.leaderboard.v1 import admin_pb2 as pb
from shared.gen.laurel.leaderboard.v1.admin_pb2_grpc import LeaderboardAdminServiceServicer
from shared.gen.laurel.types.v1 import types_pb2
from shared.stream_write import write_within

_PROGRESS_S = 0.2
_MAX_BOARDS = 500


class LeaderboardAdminServicer(LeaderboardAdminServiceServicer):
    """Operations for administrators."""

    def __init__(self, administration: Administration, clock: CivilClock) -> None:
        self._administration = administration
        self._clock = clock

    async def GetStatus(self, request: pb.GetStatusRequest, context: Any) -> pb.GetStatusResponse:
        return _status(await self._administration.report())

    async def RebuildBoards(self, request: pb.RebuildBoardsRequest, context: Any) -> None:
        async for run in self._administration.rebuild(_PROGRESS_S):
            await write_within(
                context.write,
                pb.RebuildBoardsResponse(
                    standings_total=run.standings_total,
                    standings_loaded=run.standings_loaded,
                    position=_position(run.position),
                    complete=run.done.done(),
                ),
            )

    async def VerifyBoards(self, request: pb.VerifyBoardsRequest, context: Any) -> None:
        boards = _boards(request.boards, self._clock.today())

        async def write(verified: Verified) -> None:
            await write_within(context.write, _verified(verified))

        await self._administration.verify(boards, write, repair=request.repair)

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
        last_verify_time=timestamp(status.last_verify_us),
        last_verify_mismatches=status.last_verify_mismatches,
        start_time=timestamp(report.start_us),
        version=version("laurel"),
        partitions=len(report.meta.parts) if report.meta else 0,
        standings_verified=status.standings_verified,
        mismatches_found=status.mismatches_found,
        standings_repaired=status.standings_repaired,
    )


def _boards(asked: Sequence[types_pb2.Board], today: date) -> list[Board]:
    """Each of them once, with the period spelled out. Raises InvalidInput."""
    if len(asked) > _MAX_BOARDS:
        raise invalid_field("boards", f"at most {_MAX_BOARDS}")
    return list(dict.fromkeys(_board(one, f"boards[{n}]", today) for n, one in enumerate(asked)))


def _board(asked: types_pb2.Board, field: str, today: date) -> Board:
    try:
        return resolve_board(asked.metric, asked.course_id, asked.window, asked.period, today)
    except InvalidInput as error:
        (wrong,) = error.violations
        path = field + wrong.field.removeprefix("board")
        raise invalid_field(path, wrong.description) from None


def _verified(verified: Verified) -> pb.VerifyBoardsResponse:
    tally = verified.tally
    return pb.VerifyBoardsResponse(
        standings_total=tally.standings,
        standings_checked=tally.checked,
        mismatches=[
            pb.BoardMismatch(
                board=board_message(parse_board_name(one.board)),
                user_id=one.user_id,
                expected=one.expected,
                found=one.found,
            )
            for one in verified.differences
        ],
        repaired=tally.repaired,
        position=_position(tally.position),
        complete=verified.complete,
    )


def _position(position: Position) -> types_pb2.Position:
    return types_pb2.Position(epoch=position.epoch, sequence=position.sequence)


def _duration(us: int) -> Duration:
    return Duration(seconds=us // 1_000_000, nanos=us % 1_000_000 * 1000)
