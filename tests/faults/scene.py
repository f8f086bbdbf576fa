"""A stack that runs, as its tests use it: through the proxies."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from typing import Any

from grpc import StatusCode, aio

from shared.gen.laurel.leaderboard.v1 import leaderboard_pb2
from shared.gen.laurel.leaderboard.v1.leaderboard_pb2_grpc import LeaderboardServiceStub
from shared.gen.laurel.progress.v1 import catalog_pb2
from shared.gen.laurel.progress.v1 import progress_pb2 as pb
from shared.gen.laurel.progress.v1.admin_pb2_grpc import ProgressAdminServiceStub
from shared.gen.laurel.progress.v1.catalog_pb2_grpc import CatalogServiceStub
from shared.gen.laurel.progress.v1.progress_pb2_grpc import ProgressServiceStub
from shared.gen.laurel.types.v1 import types_pb2
from tests.access import bearer, dial
from tests.faults.plan import Plan
from tests.faults.stack import Stack
from tests.faults.waiting import until

USER = "ada"
_CALL_S = 2.0
_UNANSWERED = {StatusCode.UNAVAILABLE, StatusCode.DEADLINE_EXCEEDED, StatusCode.CANCELLED}
_EAGER = (
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.min_reconnect_backoff_ms", 1_000),
    ("grpc.max_reconnect_backoff_ms", 200),
)


class Scene:
    """One user, who is awarded XP through the first replica of each service."""

    def __init__(self, stack: Stack, progress: aio.Channel, leaderboard: aio.Channel) -> None:
        self.stack = stack
        self.progress = ProgressServiceStub(progress)
        self.catalog = CatalogServiceStub(progress)
        self.admin = ProgressAdminServiceStub(progress)
        self.boards = LeaderboardServiceStub(leaderboard)
        self._requests = count()

    async def put_user(self) -> None:
        user = catalog_pb2.User(user_id=USER, display_name="Ada")
        await self.catalog.PutUser(catalog_pb2.PutUserRequest(user=user), timeout=_CALL_S)

    async def award(self, amount: int = 1) -> pb.AwardXpResponse:
        """Asks until there is an answer."""
        request = pb.AwardXpRequest(
            user_id=USER, amount=amount, source="test", request_id=f"award-{next(self._requests)}"
        )
        answers: list[pb.AwardXpResponse] = []

        async def answered() -> bool:
            try:
                answers.append(await self.progress.AwardXp(request, timeout=_CALL_S))
            except aio.AioRpcError as error:
                if error.code() not in _UNANSWERED:
                    raise
            return bool(answers)

        await until(answered, "an award is answered")
        return answers[0]

    async def top(self, **board: Any) -> leaderboard_pb2.GetTopResponse:
        request = leaderboard_pb2.GetTopRequest(board=types_pb2.Board(**board))
        return await self.boards.GetTop(request, timeout=_CALL_S)

    async def board_holds(self, score: int) -> None:
        """Returns when Redis answers, and with this score."""

        async def holds() -> bool:
            try:
                answer = await self.top()
            except aio.AioRpcError:
                return False
            scores = {entry.user_id: entry.score for entry in answer.entries}
            redis = leaderboard_pb2.SOURCE_REDIS
            return answer.state.source == redis and scores.get(USER) == score

        await until(holds, f"the board in Redis holds {score}")


@asynccontextmanager
async def scene(folder: Path, plan: Plan) -> AsyncIterator[Scene]:
    """The stack of this plan, with a user."""
    began = time.monotonic()
    token = bearer("admin", "tests", iat=0, exp=2**32)
    async with (
        Stack(folder, plan, lambda: time.monotonic() - began) as stack,
        dial(stack.progress_targets[0], _EAGER, token) as progress,
        dial(stack.leaderboard_targets[0], _EAGER, token) as leaderboard,
    ):
        made = Scene(stack, progress, leaderboard)
        await made.put_user()
        yield made
