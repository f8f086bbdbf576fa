"""The same answers from PostgreSQL, by way of StandingsService, within a bound."""

import time
from collections.abc import Callable
from typing import Any

import grpc.aio as grpc_aio
import structlog
from google.protobuf.timestamp_pb2 import Timestamp

from leaderboard_service import metrics
from leaderboard_service.domain.answer import (
    Entry,
    ListAnswer,
    Page,
    Position,
    RankAnswer,
    Source,
    Stamp,
    TopAnswer,
)
from leaderboard_service.domain.board import Board
from leaderboard_service.domain.question import After, AroundAsk, BatchAsk, RankAsk, TopAsk
from leaderboard_service.domain.request import token_after
from leaderboard_service.token_secrets import TokenSecrets
from shared.errors import (
    DeadlineExceeded,
    InvalidInput,
    LaurelError,
    ResourceExhausted,
    Unavailable,
)
from shared.gen.laurel.progress.v1 import progress_pb2
from shared.gen.laurel.progress.v1.progress_pb2_grpc import StandingsServiceStub
from shared.gen.laurel.types.v1 import types_pb2
from shared.rank_mode import RankMode
from shared.signed_token import Signer
from shared.status import error_from_peer
from shared.trouble import Trouble

log = structlog.get_logger(__name__)

_RETRY_S = 0.25

Remaining = Callable[[], float | None]
"""Says how many seconds the caller's deadline leaves by now; None without a deadline."""


class Fallback:
    """Reads standings from PostgreSQL, `limit` at once and each for `timeout_s` at most.

    Raises ResourceExhausted when the bound is reached, DeadlineExceeded when the caller's time is
    up first, and Unavailable (BOARDS_UNAVAILABLE) when ProgressService does not answer.
    """

    def __init__(
        self, stub: StandingsServiceStub, signer: Signer, *, limit: int, timeout_s: float
    ) -> None:
        self._stub = stub
        self._signer = signer
        self._limit = self._free = limit
        self._timeout_s = timeout_s
        self._secrets = TokenSecrets()
        self._trouble = Trouble(log)
        metrics.FALLBACK_READS.set_function(lambda: limit - self._free)

    async def rank(self, ask: RankAsk, remaining: Remaining) -> RankAnswer:
        """Where one user stands."""
        found = await self._standings(ask.board, ask.mode, (ask.user_id,), remaining)
        stamp = _stamp(found.position, found.as_of_time)
        if not found.standings:
            return RankAnswer(stamp, found.total_users, None, 0, 0)
        (standing,) = found.standings
        return RankAnswer(
            stamp,
            found.total_users,
            _entry(standing),
            standing.users_below,
            standing.score_to_next_rank,
        )

    async def batch(self, ask: BatchAsk, remaining: Remaining) -> ListAnswer:
        """The entries of these users, best first."""
        found = await self._standings(ask.board, ask.mode, ask.user_ids, remaining)
        stamp = _stamp(found.position, found.as_of_time)
        return ListAnswer(stamp, found.total_users, tuple(map(_entry, found.standings)))

    async def top(self, ask: TopAsk, remaining: Remaining) -> TopAnswer:
        """A page, and the entry of one user besides, if one was asked for.

        Raises InvalidInput (INVALID_PAGE_TOKEN) when `ask.after` is of another history, and
        Unavailable (TOKEN_SECRETS_DIFFER) when ProgressService takes no tokens from here.
        """
        token = token_after(self._signer, ask.board, ask.mode, ask.after) if ask.after else ""
        request = progress_pb2.ListStandingsRequest(
            board=board_message(ask.board),
            page_size=ask.size,
            page_token=token,
            rank_mode=_rank_mode(ask.mode),
            user_id=ask.user_id,
            also_boards=map(board_message, ask.also),
        )
        try:
            found = await self._call(self._stub.ListStandings, request, remaining)
        except InvalidInput as error:
            if ask.after is None or error.reason != "INVALID_PAGE_TOKEN":
                raise
            if await self._is_present(ask.after, ask.board, remaining):
                raise self._secrets.found_different() from None
            raise
        if token:
            self._secrets.found_same()
        return TopAnswer(
            _stamp(found.position, found.as_of_time),
            found.total_users,
            Page(tuple(map(_entry, found.standings)), bool(found.next_page_token)),
            _entry(found.user_standing) if found.HasField("user_standing") else None,
        )

    async def _is_present(self, after: After, board: Board, remaining: Remaining) -> bool:
        """Whether it is of the present tenure: a token that names it is not of another history."""
        request = progress_pb2.ListStandingsRequest(board=board_message(board), page_size=1)
        found = await self._call(self._stub.ListStandings, request, remaining)
        return bool(
            found.position.epoch == after.epoch and found.position.sequence >= after.sequence
        )

    async def around(self, ask: AroundAsk, remaining: Remaining) -> ListAnswer:
        """The entries around one user; none when the user is not on the board."""
        request = progress_pb2.ListStandingsRequest(
            board=board_message(ask.board),
            page_size=ask.count,
            around_user_id=ask.user_id,
            rank_mode=_rank_mode(ask.mode),
        )
        found = await self._call(self._stub.ListStandings, request, remaining)
        stamp = _stamp(found.position, found.as_of_time)
        return ListAnswer(stamp, found.total_users, tuple(map(_entry, found.standings)))

    async def _standings(
        self, board: Board, mode: RankMode, user_ids: tuple[str, ...], remaining: Remaining
    ) -> progress_pb2.BatchGetStandingsResponse:
        request = progress_pb2.BatchGetStandingsRequest(
            board=board_message(board), user_ids=user_ids, rank_mode=_rank_mode(mode)
        )
        found: progress_pb2.BatchGetStandingsResponse = await self._call(
            self._stub.BatchGetStandings, request, remaining
        )
        return found

    async def _call(self, method: Any, request: Any, remaining: Remaining) -> Any:
        if self._free <= 0:
            self._trouble.met("too many reads from postgresql", limit=self._limit)
            raise ResourceExhausted(
                "TOO_MANY_FALLBACK_READS",
                "Boards are answered from PostgreSQL, and too many reads are under way.",
                retry_delay_s=_RETRY_S,
            )
        timeout_s, hurried = self._timeout_s, False
        left_s = remaining()
        if left_s is not None and left_s < timeout_s:
            timeout_s, hurried = left_s, True
        if timeout_s <= 0:
            raise _too_late()
        self._free -= 1
        try:
            return await method(request, timeout=timeout_s)
        except grpc_aio.AioRpcError as error:
            raise _failed(error_from_peer(error), hurried=hurried) from None
        finally:
            self._free += 1
            if self._free == self._limit:
                self._trouble.over("room for reads from postgresql again")


def _failed(error: LaurelError, *, hurried: bool) -> LaurelError:
    """What the caller is told: that neither store answers, or what is wrong with the call.

    `hurried`: it was the caller's deadline that it had to keep.
    """
    if hurried and isinstance(error, DeadlineExceeded):
        return _too_late()
    if isinstance(error, Unavailable | DeadlineExceeded):
        return Unavailable("BOARDS_UNAVAILABLE", "Neither Redis nor PostgreSQL answers.")
    return error


def _too_late() -> DeadlineExceeded:
    return DeadlineExceeded("DEADLINE_EXCEEDED", "The deadline passed before there was an answer.")


def board_message(board: Board) -> types_pb2.Board:
    """The board as the contract writes it."""
    return types_pb2.Board(
        metric=board.metric,
        course_id=board.course_id,
        window=types_pb2.Window.ValueType(board.window),
        period=board.period,
    )


def _rank_mode(mode: RankMode) -> types_pb2.RankMode.ValueType:
    return types_pb2.RankMode.ValueType(mode)


def _stamp(position: types_pb2.Position, as_of: Timestamp) -> Stamp:
    # PostgreSQL's own newest position is what was read: it is confirmed as of now.
    return Stamp(
        Source.POSTGRESQL,
        Position(position.epoch, position.sequence),
        as_of.ToMicroseconds(),
        time.time_ns() // 1000,
    )


def _entry(standing: progress_pb2.Standing) -> Entry:
    return Entry(
        standing.rank,
        standing.user_id,
        standing.score,
        standing.display_name or standing.user_id,
        standing.avatar_url,
        tuple(standing.also_scores),
    )
