"""laurel.leaderboard.v1.LeaderboardService. WatchTop and WatchRank are not offered yet."""

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from leaderboard_service.boards import Boards
from leaderboard_service.domain import request as rules
from leaderboard_service.domain.board import Board
from leaderboard_service.servicers.encode import Encoder
from shared.errors import Unimplemented
from shared.gen.laurel.leaderboard.v1 import leaderboard_pb2 as pb
from shared.gen.laurel.leaderboard.v1.leaderboard_pb2_grpc import LeaderboardServiceServicer
from shared.gen.laurel.types.v1 import types_pb2


class LeaderboardServicer(LeaderboardServiceServicer):
    """Answers with encoded messages: pages and states are shared between answers."""

    def __init__(self, boards: Boards, zone: ZoneInfo) -> None:
        self._boards = boards
        self._zone = zone
        self._encode = Encoder(zone)

    async def GetTop(self, request: pb.GetTopRequest, context: Any) -> bytes:
        board = self._board(request.board)
        rules.check_rank_mode(request.rank_mode)
        rules.check_consistency_token(request.consistency_token)
        if request.also_windows:
            raise Unimplemented("UNIMPLEMENTED", "This server does not offer also_windows.")
        size = rules.coerce_size(
            request.page_size, rules.PAGE_SIZE, rules.MAX_PAGE_SIZE, "page_size"
        )
        after = rules.page_after(request.page_token, board)
        user_id = rules.check_user_id(request.user_id) if request.user_id else ""
        answer = await self._boards.top(board, size, after, user_id, context.time_remaining)
        return self._encode.top(board, answer)

    async def GetRank(self, request: pb.GetRankRequest, context: Any) -> bytes:
        board = self._board(request.board)
        rules.check_rank_mode(request.rank_mode)
        rules.check_consistency_token(request.consistency_token)
        user_id = rules.check_user_id(request.user_id)
        answer = await self._boards.rank(board, user_id, context.time_remaining)
        return self._encode.rank(board, answer)

    async def GetAround(self, request: pb.GetAroundRequest, context: Any) -> bytes:
        board = self._board(request.board)
        rules.check_rank_mode(request.rank_mode)
        rules.check_consistency_token(request.consistency_token)
        user_id = rules.check_user_id(request.user_id)
        count = rules.coerce_size(request.count, rules.AROUND, rules.MAX_AROUND, "count")
        answer = await self._boards.around(board, user_id, count, context.time_remaining)
        return self._encode.around(board, answer)

    async def BatchGetRanks(self, request: pb.BatchGetRanksRequest, context: Any) -> bytes:
        board = self._board(request.board)
        rules.check_rank_mode(request.rank_mode)
        rules.check_consistency_token(request.consistency_token)
        user_ids = rules.check_batch(request.user_ids)
        answer = await self._boards.batch(board, user_ids, context.time_remaining)
        return self._encode.batch(board, answer, user_ids)

    def _board(self, board: types_pb2.Board) -> Board:
        today = datetime.now(self._zone).date()
        return rules.resolve_board(board.metric, board.course_id, board.window, board.period, today)
