"""StandingsService: PostgreSQL's own boards, for rebuilding, checking and falling back."""

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from grpc import aio
from sqlalchemy.ext.asyncio import AsyncConnection

from progress_service.domain.streak import civil_day
from progress_service.servicers import codec, consistency_token
from progress_service.servicers.board_codec import board_message, board_of
from progress_service.servicers.standings_codec import (
    add_head,
    floors_of,
    profile_message,
    rank_mode_of,
    standing_message,
)
from progress_service.store import listing, snapshot, standings
from progress_service.store.database import Database
from progress_service.store.listing import Wanted
from progress_service.store.positions import Head, Position, check_position, read_head
from progress_service.store.snapshot import Spool
from progress_service.store.standings import BoardKey
from progress_service.token_resolver import TokenResolver
from shared import page_token
from shared.errors import (
    FailedPrecondition,
    InvalidInput,
    ResourceExhausted,
    invalid_field,
)
from shared.gen.laurel.progress.v1 import progress_pb2 as pb
from shared.gen.laurel.progress.v1 import progress_pb2_grpc
from shared.gen.laurel.types.v1 import types_pb2
from shared.page_token import PageToken
from shared.signed_token import Signer
from shared.stream_write import write_within

Context = aio.ServicerContext[Any, Any]

MAX_USERS = 500
MAX_ALSO_BOARDS = 10
_WORKING_S = 5.0
MAX_SNAPSHOTS = 4
"""Each is a copy on disk until it is sent."""


@dataclass
class StandingsServicer(progress_pb2_grpc.StandingsServiceServicer):
    """Decodes, calls one thing, encodes."""

    database: Database
    tokens: TokenResolver
    signer: Signer
    zone: ZoneInfo
    clock: Callable[[], datetime]
    snapshots: int = 0

    async def ListStandings(
        self, request: pb.ListStandingsRequest, context: Context
    ) -> pb.ListStandingsResponse:
        wanted, token = self._wanted(request)
        async with self.database.read() as connection:
            head = await read_head(connection)
            if token is not None:
                await _check_history(connection, token)
            found = await listing.read(connection, wanted)
        response = pb.ListStandingsResponse(
            standings=map(standing_message, found.standings),
            total_users=found.users,
            user_standing=standing_message(found.user) if found.user else None,
        )
        if found.more:
            last = found.standings[-1]
            at = head.position
            next_ = PageToken(at.epoch, at.sequence, last.score, last.user_id)
            response.next_page_token = page_token.encode(
                self.signer, wanted.key.name, wanted.mode, next_
            )
        add_head(response, head)
        return response

    async def BatchGetStandings(
        self, request: pb.BatchGetStandingsRequest, context: Context
    ) -> pb.BatchGetStandingsResponse:
        key = self._board(request.board, "board")
        mode = rank_mode_of(request.rank_mode)
        if len(request.user_ids) > MAX_USERS:
            raise invalid_field("user_ids", f"must hold at most {MAX_USERS}")
        for n, user_id in enumerate(request.user_ids):
            codec.required_id(user_id, f"user_ids[{n}]")
        response = pb.BatchGetStandingsResponse()
        async with self.database.read() as connection:
            head = await read_head(connection)
            board = await standings.find_board(connection, key)
            if board is not None:
                found = await standings.load_of_users(connection, board, mode, request.user_ids)
                response.standings.extend(standing_message(one) for one in found)
                response.total_users = board.users
        add_head(response, head)
        return response

    async def SnapshotStandings(
        self, request: pb.SnapshotStandingsRequest, context: Context
    ) -> None:
        boards = [self._board(one, f"boards[{n}]") for n, one in enumerate(request.boards)]
        wanted = snapshot.Wanted(
            boards, floors_of(request.floors), profiles=not request.without_profiles
        )
        if self.snapshots >= MAX_SNAPSHOTS:
            raise ResourceExhausted(
                "TOO_MANY_SNAPSHOTS", "Too many snapshots are under way.", retry_delay_s=5
            )
        self.snapshots += 1
        try:
            await self._snapshot(wanted, context)
        finally:
            self.snapshots -= 1

    async def ResolveConsistencyToken(
        self, request: pb.ResolveConsistencyTokenRequest, context: Context
    ) -> pb.ResolveConsistencyTokenResponse:
        mark = consistency_token.decode(self.signer, request.consistency_token)
        place = await self.tokens.resolve(mark, context.time_remaining)
        return pb.ResolveConsistencyTokenResponse(
            position=codec.position_message(place.position),
            head=codec.position_message(place.head.position),
        )

    async def _snapshot(self, wanted: snapshot.Wanted, context: Context) -> None:
        with closing(Spool()) as spool:
            head = await _filled(spool.fill(self.database, wanted), context)
            at: dict[str, Any] = {"position": codec.position_message(head.position)}
            if head.position.sequence:
                at["as_of_time"] = codec.timestamp(head.time)
            messages = _messages(spool, at)
            while True:
                began = time.monotonic()
                message = next(messages, None)
                worked_s = time.monotonic() - began
                if message is None:
                    break
                await write_within(context.write, message)
                # Writers and readers have at least as much of the process's time.
                await asyncio.sleep(worked_s)

    def _board(self, board: types_pb2.Board, field: str) -> BoardKey:
        return board_of(board, field, civil_day(self.clock(), self.zone))

    def _wanted(self, request: pb.ListStandingsRequest) -> tuple[Wanted, PageToken | None]:
        key = self._board(request.board, "board")
        mode = rank_mode_of(request.rank_mode)
        size = codec.page_size(request.page_size)
        if request.page_token and request.around_user_id:
            raise invalid_field("around_user_id", "excludes page_token")
        token = None
        if request.page_token:
            token = page_token.decode(self.signer, request.page_token, key.name, mode)
        for field in ("around_user_id", "user_id"):
            if getattr(request, field):
                codec.required_id(getattr(request, field), field)
        if len(request.also_boards) > MAX_ALSO_BOARDS:
            raise invalid_field("also_boards", f"must hold at most {MAX_ALSO_BOARDS}")
        wanted = Wanted(
            key,
            mode,
            size,
            after=(token.score, token.user_id) if token else None,
            around_user_id=request.around_user_id,
            user_id=request.user_id,
            also=tuple(
                self._board(one, f"also_boards[{n}]") for n, one in enumerate(request.also_boards)
            ),
        )
        return wanted, token


def _messages(spool: Spool, at: dict[str, Any]) -> Iterator[pb.SnapshotStandingsResponse]:
    for profiles in spool.profiles():
        yield pb.SnapshotStandingsResponse(
            **at, profiles=[profile_message(one) for one in profiles]
        )
    for key, scores in spool.standings():
        yield pb.SnapshotStandingsResponse(
            **at,
            board=board_message(key.metric, key.course_id, key.window, key.period),
            standings=[pb.Standing(**one._asdict()) for one in scores],
        )
    yield pb.SnapshotStandingsResponse(**at, complete=True)


async def _filled(filling: Coroutine[Any, Any, Head], context: Context) -> Head:
    """Waits for the copy, with an empty message now and then: the caller knows we are at it."""
    task = asyncio.ensure_future(filling)
    try:
        while not (await asyncio.wait([task], timeout=_WORKING_S))[0]:
            await write_within(context.write, pb.SnapshotStandingsResponse())
        return await task
    finally:
        task.cancel()


async def _check_history(connection: AsyncConnection, token: PageToken) -> None:
    """Raises InvalidInput (INVALID_PAGE_TOKEN) unless the token's position is of this history."""
    try:
        await check_position(connection, Position(token.epoch, token.sequence))
    except (FailedPrecondition, InvalidInput):
        raise page_token.of_another_history() from None
