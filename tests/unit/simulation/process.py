"""One process of LeaderboardService: its real workers on simulated connections."""

import asyncio
from collections.abc import Callable, Sequence
from contextvars import Context
from typing import Any, cast

from leaderboard_service.applier import Target
from leaderboard_service.boards import Boards, Need
from leaderboard_service.breaker import RedisBreaker
from leaderboard_service.domain.answer import Page, Position, Source, Stamp, TopAnswer
from leaderboard_service.domain.board import Floors, parse_board_name
from leaderboard_service.domain.question import TopAsk
from leaderboard_service.fallback import Fallback, Remaining
from leaderboard_service.follower import Follower
from leaderboard_service.reader import BoardReader
from leaderboard_service.rebuild import Rebuilder, Sources
from leaderboard_service.status import State, Status
from leaderboard_service.store.boards import BoardWriter
from leaderboard_service.store.client import RedisLink
from leaderboard_service.store.generations import Generations
from leaderboard_service.store.reads import BoardReads
from leaderboard_service.upkeep import Upkeep
from shared.gen.laurel.progress.v1.progress_pb2_grpc import (
    ProgressServiceStub,
    StandingsServiceStub,
)
from shared.rank_mode import RankMode
from tests.unit.simulation.loop import OWNER, VirtualLoop
from tests.unit.simulation.network import Network, SimulatedLink
from tests.unit.simulation.progress import SimulatedProgress

_READ_TIMEOUT_S = 0.25
_WORK_TIMEOUT_S = 2.0
_FOLLOW_TIMEOUT_S = 5.0
_NOT_FROM_REDIS = TopAnswer(
    Stamp(Source.POSTGRESQL, Position("", 0), 0, 0), 0, Page((), more=False), None
)


class _Fallback:
    """What PostgreSQL answers is not looked at."""

    async def top(self, _ask: TopAsk, _remaining: Remaining) -> TopAnswer:
        return _NOT_FROM_REDIS


class Process:
    """Built as `composition` builds it. `start`, then `kill`; `stop` and `go_on` in between."""

    def __init__(
        self,
        name: str,
        network: Network,
        progress: SimulatedProgress,
        parts: int,
        floors: Callable[[], Floors],
    ) -> None:
        self.name = name
        self._loop: VirtualLoop = network.loop
        self._links = [
            SimulatedLink(network, timeout_s)
            for timeout_s in (_READ_TIMEOUT_S, _WORK_TIMEOUT_S, _FOLLOW_TIMEOUT_S)
        ]
        read, work, follow = (cast("RedisLink", link) for link in self._links)
        self.status = Status()
        self.breaker = RedisBreaker(work)
        self.generations = Generations(work)
        self.rebuilder = Rebuilder(
            Sources(cast("StandingsServiceStub", progress), cast("ProgressServiceStub", progress)),
            work,
            Target(BoardWriter(work), self.generations, 6),
            self.status,
            wanted_floors=floors,
            parts=parts,
        )
        self._follower = Follower(
            cast("ProgressServiceStub", progress),
            Target(BoardWriter(follow), self.generations, 6),
            self.rebuilder,
            self.breaker,
            self.status,
        )
        self._upkeep = Upkeep(
            BoardWriter(work), self.generations, self.breaker, self.rebuilder, wanted_floors=floors
        )
        self._reader = BoardReader(
            BoardReads(read), self.generations, self.breaker, patience_s=_READ_TIMEOUT_S
        )
        self._boards = Boards(
            self._reader,
            cast("Fallback", _Fallback()),
            self.generations,
            self.breaker,
            self.status.epochs,
        )
        self._tasks: list[asyncio.Task[Any]] = []
        self._is_killed = False
        self._context = Context()
        self._context.run(OWNER.set, name)

    def start(self) -> None:
        """Begins to work, unless it was killed before."""
        if self._is_killed:
            return
        self._loop.note(self.name, "starts")
        for worker in (self.breaker, self.rebuilder, self._follower, self._upkeep, self._reader):
            self._spawn(worker.run()).add_done_callback(self._worker_ended)

    def _spawn(self, work: Any) -> asyncio.Task[Any]:
        task = self._loop.create_task(work, context=self._context.copy())
        self._tasks.append(task)
        return task

    def _worker_ended(self, task: asyncio.Task[Any]) -> None:
        if not task.cancelled():
            self._loop.errors.append(task.exception() or "a worker has ended")

    def read(self, boards: Sequence[str], shown: Callable[[TopAnswer, str], None]) -> None:
        """Has boards read, all at once, as RPCs would; `shown` is told of the answers."""

        async def ask(board: str) -> None:
            question = TopAsk(parse_board_name(board), RankMode.COMPETITION, 500)
            answer = await self._boards.top(question, Need(lambda: None))
            self._loop.note(self.name, "read", (board, answer.stamp.position))
            shown(answer, board)

        if self._is_killed:
            return
        self._tasks = [task for task in self._tasks if not task.done()]
        for board in boards:
            self._spawn(ask(board))

    def ask_for_rebuild(self) -> None:
        """As an operator does."""
        self._context.copy().run(self.rebuilder.request, "a test")

    def stop(self) -> None:
        """As by SIGSTOP."""
        self._loop.stopped.add(self.name)

    def go_on(self) -> None:
        """As by SIGCONT."""
        self._loop.go_on(self.name)

    def kill(self) -> list[asyncio.Task[Any]]:
        """As by SIGKILL: nothing that its tasks do now has any effect. The tasks."""
        self._is_killed = True
        for link in self._links:
            link.cut()
        for task in self._tasks:
            task.cancel()
        self.go_on()
        return self._tasks

    @property
    def is_live(self) -> bool:
        """By its own account."""
        state = self.status.state(
            redis_answers=self.breaker.closed, boards=self.generations.current is not None
        )
        return state is State.LIVE
