"""laurel.leaderboard.v1.LeaderboardService."""

from collections.abc import Awaitable, Callable
from datetime import date
from functools import partial
from typing import Any, TypeVar

from leaderboard_service.boards import Boards, Need
from leaderboard_service.civil_clock import CivilClock
from leaderboard_service.consistency import Consistency
from leaderboard_service.domain import request as rules
from leaderboard_service.domain.board import Board
from leaderboard_service.domain.question import AroundAsk, BatchAsk, RankAsk, TopAsk
from leaderboard_service.servicers.encode import Encoder
from leaderboard_service.watching.asked import Asked
from leaderboard_service.watching.watches import Watches
from shared.gen.laurel.leaderboard.v1 import leaderboard_pb2 as pb
from shared.gen.laurel.leaderboard.v1.leaderboard_pb2_grpc import LeaderboardServiceServicer
from shared.gen.laurel.types.v1 import types_pb2
from shared.signed_token import Signer

T = TypeVar("T")


class LeaderboardServicer(LeaderboardServiceServicer):
    """Answers with encoded messages: pages and states are shared between answers."""

    def __init__(
        self,
        boards: Boards,
        consistency: Consistency,
        watches: Watches,
        clock: CivilClock,
        signer: Signer,
    ) -> None:
        self._boards = boards
        self._consistency = consistency
        self._watches = watches
        self._today = clock.today
        self._signer = signer
        self._encode = Encoder(clock.zone, signer)

    async def GetTop(self, request: pb.GetTopRequest, context: Any) -> bytes:
        today = self._today()
        board = _board(request.board, today)
        mode = rules.rank_mode(request.rank_mode)
        ask = TopAsk(
            board,
            mode,
            rules.coerce_size(request.page_size, rules.PAGE_SIZE, rules.MAX_PAGE_SIZE, "page_size"),
            rules.page_after(self._signer, request.page_token, board, mode),
            rules.check_user_id(request.user_id) if request.user_id else "",
            rules.also_boards(request.also_windows, board, today),
        )
        answer = await self._ask(request.consistency_token, context, partial(self._boards.top, ask))
        return self._encode.top(ask, answer)

    async def GetRank(self, request: pb.GetRankRequest, context: Any) -> bytes:
        board = _board(request.board, self._today())
        user_id = rules.check_user_id(request.user_id)
        ask = RankAsk(board, rules.rank_mode(request.rank_mode), user_id)
        answer = await self._ask(
            request.consistency_token, context, partial(self._boards.rank, ask)
        )
        return self._encode.rank(board, answer)

    async def GetAround(self, request: pb.GetAroundRequest, context: Any) -> bytes:
        board = _board(request.board, self._today())
        user_id = rules.check_user_id(request.user_id)
        count = rules.coerce_size(request.count, rules.AROUND, rules.MAX_AROUND, "count")
        ask = AroundAsk(board, rules.rank_mode(request.rank_mode), user_id, count)
        answer = await self._ask(
            request.consistency_token, context, partial(self._boards.around, ask)
        )
        return self._encode.around(board, answer)

    async def BatchGetRanks(self, request: pb.BatchGetRanksRequest, context: Any) -> bytes:
        board = _board(request.board, self._today())
        user_ids = rules.check_batch(request.user_ids)
        ask = BatchAsk(board, rules.rank_mode(request.rank_mode), user_ids)
        answer = await self._ask(
            request.consistency_token, context, partial(self._boards.batch, ask)
        )
        return self._encode.batch(board, answer, user_ids)

    async def _ask(self, token: str, context: Any, question: Callable[[Need], Awaitable[T]]) -> T:
        """The answer, which includes the write that the token names, if there is one."""
        return await self._consistency.ask(token, context.time_remaining, question)

    async def WatchTop(self, request: pb.WatchTopRequest, context: Any) -> None:
        count = rules.coerce_size(request.count, rules.WATCHED, rules.MAX_WATCHED, "count")
        await self._watches.top(self._asked(request.board), count, context)

    async def WatchRank(self, request: pb.WatchRankRequest, context: Any) -> None:
        user_id = rules.check_user_id(request.user_id)
        await self._watches.rank(self._asked(request.board), user_id, context)

    def _asked(self, board: types_pb2.Board) -> Asked:
        found = _board(board, self._today())
        return Asked(found, moves_on=found.period != board.period)


def _board(board: types_pb2.Board, today: date) -> Board:
    return rules.resolve_board(board.metric, board.course_id, board.window, board.period, today)
