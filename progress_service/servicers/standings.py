"""StandingsService: PostgreSQL's own boards, for rebuilding, checking and falling back."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from grpc import aio
from sqlalchemy.ext.asyncio import AsyncConnection

from progress_service.domain.streak import civil_day
from progress_service.servicers import codec
from progress_service.servicers.board_codec import (
    board_message,
    board_of,
    check_period,
    window_of,
)
from progress_service.store import standings
from progress_service.store.database import Database
from progress_service.store.positions import Head, Position, check_position, read_head
from progress_service.store.snapshot import Profile, Spool
from progress_service.store.standings import BoardKey, Standing
from progress_service.stream_write import write_within
from shared import page_token
from shared.errors import (
    FailedPrecondition,
    InvalidInput,
    ResourceExhausted,
    Unimplemented,
    invalid_field,
)
from shared.gen.laurel.progress.v1 import progress_pb2 as pb
from shared.gen.laurel.progress.v1 import progress_pb2_grpc
from shared.gen.laurel.types.v1 import types_pb2
from shared.page_token import PageToken
from shared.periods import Window

Context = aio.ServicerContext[Any, Any]

MAX_USERS = 500
_WORKING_S = 5.0
MAX_SNAPSHOTS = 4
"""Each is a copy on disk until it is sent."""


@dataclass
class StandingsServicer(progress_pb2_grpc.StandingsServiceServicer):
    """Decodes, calls one thing, encodes."""

    database: Database
    zone: ZoneInfo
    clock: Callable[[], datetime]
    snapshots: int = 0

    async def ListStandings(
        self, request: pb.ListStandingsRequest, context: Context
    ) -> pb.ListStandingsResponse:
        key = self._board(request.board, "board")
        mode = _competition(request.rank_mode)
        size = codec.page_size(request.page_size)
        after = _after(request, key, mode)
        for field in ("around_user_id", "user_id"):
            if getattr(request, field):
                codec.required_id(getattr(request, field), field)
        response = pb.ListStandingsResponse()
        async with self.database.read() as connection:
            head = await read_head(connection)
            if after is not None:
                await _check_history(connection, after)
            board = await standings.find_board(connection, key)
            if board is not None:
                if request.around_user_id:
                    found = await standings.load_around(
                        connection, board, request.around_user_id, size
                    )
                else:
                    place = (after.score, after.user_id) if after else None
                    found = await standings.load_page(connection, board, size + 1, place)
                if len(found) > size:
                    last = found[size - 1]
                    token = PageToken(head.position.epoch, last.score, last.user_id)
                    response.next_page_token = page_token.encode(key.name, mode, token)
                response.standings.extend(_message(one) for one in found[:size])
                response.total_users = board.users
                if request.user_id:
                    for one in await standings.load_of_users(connection, board, [request.user_id]):
                        response.user_standing.CopyFrom(_message(one))
        _stamp(response, head)
        return response

    async def BatchGetStandings(
        self, request: pb.BatchGetStandingsRequest, context: Context
    ) -> pb.BatchGetStandingsResponse:
        key = self._board(request.board, "board")
        _competition(request.rank_mode)
        if len(request.user_ids) > MAX_USERS:
            raise invalid_field("user_ids", f"must hold at most {MAX_USERS}")
        for n, user_id in enumerate(request.user_ids):
            codec.required_id(user_id, f"user_ids[{n}]")
        response = pb.BatchGetStandingsResponse()
        async with self.database.read() as connection:
            head = await read_head(connection)
            board = await standings.find_board(connection, key)
            if board is not None:
                found = await standings.load_of_users(connection, board, request.user_ids)
                response.standings.extend(_message(one) for one in found)
                response.total_users = board.users
        _stamp(response, head)
        return response

    async def SnapshotStandings(
        self, request: pb.SnapshotStandingsRequest, context: Context
    ) -> None:
        boards = [self._board(one, f"boards[{n}]") for n, one in enumerate(request.boards)]
        floors = _floors(request.floors)
        if self.snapshots >= MAX_SNAPSHOTS:
            raise ResourceExhausted(
                "TOO_MANY_SNAPSHOTS", "Too many snapshots are under way.", retry_delay_s=5
            )
        self.snapshots += 1
        try:
            await self._snapshot(boards, floors, context)
        finally:
            self.snapshots -= 1

    async def _snapshot(
        self, boards: Sequence[BoardKey], floors: Sequence[tuple[Window, str]], context: Context
    ) -> None:
        with Spool() as spool:
            head = await _filled(spool.fill(self.database, boards, floors), context)
            at: dict[str, Any] = {"position": codec.position_message(head.position)}
            if head.position.sequence:
                at["as_of_time"] = codec.timestamp(head.time)
            for profiles in spool.profiles():
                await write_within(
                    context.write,
                    pb.SnapshotStandingsResponse(
                        **at, profiles=[_profile(one) for one in profiles]
                    ),
                )
            for key, scores in spool.standings():
                await write_within(
                    context.write,
                    pb.SnapshotStandingsResponse(
                        **at,
                        board=board_message(key.metric, key.course_id, key.window, key.period),
                        standings=[pb.Standing(user_id=u, score=s) for u, s in scores],
                    ),
                )
            await write_within(context.write, pb.SnapshotStandingsResponse(**at, complete=True))

    def _board(self, board: types_pb2.Board, field: str) -> BoardKey:
        return board_of(board, field, civil_day(self.clock(), self.zone))


async def _filled(filling: Coroutine[Any, Any, Head], context: Context) -> Head:
    """Waits for the copy, with an empty message now and then: the caller knows we are at it."""
    task = asyncio.ensure_future(filling)
    try:
        while not (await asyncio.wait([task], timeout=_WORKING_S))[0]:
            await write_within(context.write, pb.SnapshotStandingsResponse())
        return await task
    finally:
        task.cancel()


def _floors(floors: Sequence[pb.PeriodFloor]) -> list[tuple[Window, str]]:
    found = [_floor(one, n) for n, one in enumerate(floors)]
    for n, (window, _) in enumerate(found):
        if window in (earlier for earlier, _ in found[:n]):
            raise invalid_field(f"floors[{n}].window", "occurs twice")
    return found


def _floor(floor: pb.PeriodFloor, n: int) -> tuple[Window, str]:
    window = window_of(floor.window, f"floors[{n}].window")
    if window is Window.ALL_TIME:
        raise invalid_field(f"floors[{n}].window", "must be a window with several periods")
    check_period(window, floor.first_period, f"floors[{n}].first_period")
    return window, floor.first_period


def _competition(mode: types_pb2.RankMode.ValueType) -> int:
    if mode not in types_pb2.RankMode.values():
        raise invalid_field("rank_mode", f"{mode} is not a rank mode")
    if mode not in (types_pb2.RANK_MODE_UNSPECIFIED, types_pb2.RANK_MODE_COMPETITION):
        raise Unimplemented("UNIMPLEMENTED", "This server offers competition ranks alone.")
    return int(types_pb2.RANK_MODE_COMPETITION)


def _after(request: pb.ListStandingsRequest, key: BoardKey, mode: int) -> PageToken | None:
    if not request.page_token:
        return None
    if request.around_user_id:
        raise invalid_field("around_user_id", "excludes page_token")
    return page_token.decode(request.page_token, key.name, mode)


async def _check_history(connection: AsyncConnection, token: PageToken) -> None:
    """Raises InvalidInput (INVALID_PAGE_TOKEN) unless the token's epoch is one of this history."""
    try:
        await check_position(connection, Position(token.epoch, 0))
    except (FailedPrecondition, InvalidInput):
        raise page_token.of_another_history() from None


def _message(standing: Standing) -> pb.Standing:
    return pb.Standing(
        user_id=standing.user_id,
        score=standing.score,
        rank=standing.rank,
        display_name=standing.display_name,
        avatar_url=standing.avatar_url,
        users_below=standing.users_below,
        score_to_next_rank=standing.score_to_next_rank,
    )


def _profile(profile: Profile) -> pb.ProfileChange:
    return pb.ProfileChange(
        user_id=profile.user_id,
        display_name=profile.display_name,
        avatar_url=profile.avatar_url,
        hidden=profile.hidden,
    )


def _stamp(response: pb.ListStandingsResponse | pb.BatchGetStandingsResponse, head: Head) -> None:
    response.position.CopyFrom(codec.position_message(head.position))
    if head.position.sequence:
        response.as_of_time.CopyFrom(codec.timestamp(head.time))
