"""A small ProgressService for tests of LeaderboardService alone, on a history in a list. It can
be told to fail, to forget, and to send too little.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

from grpc import aio
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1.health import aio as health_aio

from leaderboard_service.domain.answer import Entry
from leaderboard_service.domain.board import board_name, parse_board_name
from shared import page_token
from shared.errors import FailedPrecondition, OutOfRange, Unavailable, invalid_field
from shared.gate import Gate
from shared.gen.laurel.progress.v1 import progress_pb2 as pb
from shared.gen.laurel.progress.v1 import progress_pb2_grpc
from shared.gen.laurel.types.v1 import types_pb2
from shared.interceptors import Boundary
from shared.periods import Window
from shared.settings import ServiceSettings
from tests.leaderboard_history import History, board_message
from tests.signing import SIGNER

CHECKPOINT_S = 0.1
CHUNK = 2_000


class Peer(
    History, progress_pb2_grpc.ProgressServiceServicer, progress_pb2_grpc.StandingsServiceServicer
):
    """What is appended to the history can be watched and read."""

    def __init__(self) -> None:
        super().__init__()
        self.first_kept = 1
        self.most_changes = 1000
        """In a message of WatchXpDeltas."""
        self.watchers = 0
        self.snapshots = 0
        self.cut_snapshots = 0
        """How many of the next snapshots end before they are complete."""
        self.silent_messages = 0
        """How many messages that hold nothing begin each snapshot."""
        self.list_calls = 0
        self.hangs = False
        """Whether ListStandings never answers."""
        self.during_snapshot: Callable[[], Awaitable[None]] | None = None
        """Called within the next snapshot, after its position is fixed."""
        self.down = False
        self.silent = False
        """Whether WatchXpDeltas sends nothing."""
        self.refused = 0
        """Calls while it was down."""

    def forget_history(self) -> None:
        """Another database: the same standings, numbered anew in another tenure."""
        self.epoch = str(uuid4())
        self.epochs = {self.epoch, ""}

    def restart(self) -> None:
        """The same history in another tenure."""
        self.epoch = str(uuid4())
        self.epochs.add(self.epoch)

    def _check_up(self) -> None:
        if self.down:
            self.refused += 1
            raise Unavailable("TEST_DOWN", "down")

    async def WatchXpDeltas(self, request: pb.WatchXpDeltasRequest, context: Any) -> None:
        self._check_up()
        sent = request.after
        self._check_position(sent)
        self.watchers += 1
        try:
            while True:
                while self.silent:
                    await asyncio.sleep(0.01)
                self._check_position(sent)
                message = self.message(sent.sequence, self.most_changes)
                sent = message.through
                self._check_up()
                await context.write(message)
                if sent.sequence == len(self.changes):
                    await self._wait_for_more(sent.sequence)
        finally:
            self.watchers -= 1

    def _check_position(self, position: types_pb2.Position) -> None:
        if position.epoch not in self.epochs or position.sequence > len(self.changes):
            raise FailedPrecondition("EPOCH_MISMATCH", "not of this history")
        if position.sequence + 1 < self.first_kept:
            raise OutOfRange("HISTORY_TRUNCATED", "too old")

    async def _wait_for_more(self, sent: int) -> None:
        try:
            async with asyncio.timeout(CHECKPOINT_S), self.grown:
                await self.grown.wait_for(lambda: len(self.changes) > sent)
        except TimeoutError:
            return

    async def SnapshotStandings(self, request: pb.SnapshotStandingsRequest, context: Any) -> None:
        self._check_up()
        self.snapshots += 1
        at: dict[str, Any] = {"position": self.position}
        if self.changes:
            at["as_of_time"] = self.changes[-1].numbered_time
        floors = {floor.window: floor.first_period for floor in request.floors}
        profiles = [
            pb.ProfileChange(user_id=user, display_name=p.display_name, hidden=p.hidden)
            for user, p in self.profiles.items()
            if not request.without_profiles
        ]
        asked = {_name(board) for board in request.boards} or self.scores.keys()
        hidden = {user for user, profile in self.profiles.items() if profile.hidden}
        boards = {name: dict(self.scores[name]) for name in asked & self.scores.keys()}
        for number in range(self.silent_messages):
            await context.write(pb.SnapshotStandingsResponse(**(at if number % 2 else {})))
        await context.write(pb.SnapshotStandingsResponse(**at, profiles=profiles))
        during, self.during_snapshot = self.during_snapshot, None
        if during is not None:
            await during()
        if self.cut_snapshots:
            self.cut_snapshots -= 1
            return
        for name, scores in boards.items():
            board = parse_board_name(name)
            if board.period < floors.get(types_pb2.Window.ValueType(board.window), ""):
                continue
            standings = [
                pb.Standing(user_id=user, score=score, hidden=user in hidden)
                for user, score in scores.items()
                if score
            ]
            for start in range(0, len(standings), CHUNK):
                some = standings[start : start + CHUNK]
                await context.write(
                    pb.SnapshotStandingsResponse(**at, board=board_message(name), standings=some)
                )
        await context.write(pb.SnapshotStandingsResponse(**at, complete=True))

    async def ListStandings(
        self, request: pb.ListStandingsRequest, context: Any
    ) -> pb.ListStandingsResponse:
        self._check_up()
        self.list_calls += 1
        if self.hangs:
            await asyncio.Event().wait()
        name = _name(request.board)
        board = self.board(name)
        first, size = 0, request.page_size or 50
        if request.page_token:
            last = page_token.decode(SIGNER, request.page_token, name, request.rank_mode)
            if last.epoch not in self.epochs or last.sequence > len(self.changes):
                raise page_token.of_another_history()
            after = (-last.score, last.user_id)
            first = sum((-entry.score, entry.user_id) <= after for entry in board)
        if request.around_user_id:
            users = [entry.user_id for entry in board]
            if request.around_user_id not in users:
                board = []
            else:
                middle = users.index(request.around_user_id)
                first = max(min(middle - size // 2, len(board) - size), 0)
        page = board[first : first + size]
        response = pb.ListStandingsResponse(
            standings=map(_standing, page),
            total_users=len(self.board(name)),
            position=self.position,
            as_of_time=self.changes[-1].numbered_time if self.changes else None,
        )
        if first + size < len(board):
            last_seen = page_token.PageToken(
                self.epoch, len(self.changes), page[-1].score, page[-1].user_id
            )
            response.next_page_token = page_token.encode(SIGNER, name, request.rank_mode, last_seen)
        for entry in board:
            if entry.user_id == request.user_id:
                response.user_standing.CopyFrom(_standing(entry))
        return response

    async def BatchGetStandings(
        self, request: pb.BatchGetStandingsRequest, context: Any
    ) -> pb.BatchGetStandingsResponse:
        self._check_up()
        if len(request.user_ids) > 500:
            raise invalid_field("user_ids", "at most 500")
        board = self.board(_name(request.board))
        response = pb.BatchGetStandingsResponse(
            total_users=len(board),
            position=self.position,
            as_of_time=self.changes[-1].numbered_time if self.changes else None,
        )
        for entry in board:
            if entry.user_id in request.user_ids:
                standing = _standing(entry)
                standing.users_below = sum(other.score < entry.score for other in board)
                higher = [other.score for other in board if other.score > entry.score]
                standing.score_to_next_rank = min(higher) - entry.score if higher else 0
                response.standings.append(standing)
        return response


def _name(board: types_pb2.Board) -> str:
    return board_name(
        board.metric or "xp", board.course_id, Window(board.window or 1), board.period
    )


def _standing(entry: Entry) -> pb.Standing:
    return pb.Standing(
        user_id=entry.user_id,
        score=entry.score,
        rank=entry.rank,
        display_name=entry.display_name,
        avatar_url=entry.avatar_url,
    )


@asynccontextmanager
async def serve(peer: Peer, address: str = "127.0.0.1:0") -> AsyncIterator[str]:
    """The peer on a port of its own; the target to reach it."""
    server = aio.server(options=[("grpc.so_reuseport", 0)])
    boundary: Any = Boundary(server, Gate(ServiceSettings()))
    progress_pb2_grpc.add_ProgressServiceServicer_to_server(peer, boundary)
    progress_pb2_grpc.add_StandingsServiceServicer_to_server(peer, boundary)
    health = health_aio.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(health, server)
    name = pb.DESCRIPTOR.services_by_name["StandingsService"].full_name
    await health.set(name, health_pb2.HealthCheckResponse.SERVING)
    port = server.add_insecure_port(address)
    await server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.stop(0)
