"""Clients that follow the history and the boards, leave, and come back where they were."""

import asyncio
import random
from collections import deque
from typing import Any

from google.protobuf.message import Message

from shared.gen.laurel.leaderboard.v1 import leaderboard_pb2 as boards
from shared.gen.laurel.progress.v1 import progress_pb2 as pb
from shared.gen.laurel.types.v1 import types_pb2
from tests.faults.workload import world
from tests.faults.workload.client import Client, Run
from tests.faults.workload.recorder import Asker, Watch

HISTORY = "ProgressService/WatchXpDeltas"
SNAPSHOT = "StandingsService/SnapshotStandings"
_LOST = {"EPOCH_MISMATCH", "HISTORY_TRUNCATED"}
"""The position is no good any more: take a snapshot."""
_KEPT_POSITIONS = 100


class Streaming(Client):
    """Reads streams. None outlasts the time that it is given, so that a silent one is left; after
    one that a replica could not give, the next is asked of the next replica.
    """

    _turn = 0

    async def follow(
        self, path: str, request: Message, seconds: float, stall_s: float = 0
    ) -> Watch:
        """A stream from its beginning to its end, or until it is left; its first message is read,
        and then none for `stall_s`.
        """
        watch = self.ask.watch(path, request, self._turn)
        loop = asyncio.get_running_loop()
        allowed = 0 if self._run.stopping.is_set() else seconds
        leaving = loop.call_later(allowed, watch.leave)
        try:
            while (message := await watch.read()) is not None:
                self.told(message)
                if stall_s:
                    leaving.cancel()
                    await self._rest(stall_s)
                    leaving, stall_s = loop.call_later(seconds, watch.leave), 0
        finally:
            leaving.cancel()
        failure = watch.stream.failure
        self._turn += failure is not None and failure.code == "UNAVAILABLE"
        return watch

    async def follow_history(self, after: types_pb2.Position, seconds: float) -> None:
        """From there on; where that is refused, from a snapshot's position, and so long again."""
        watch = await self.follow(HISTORY, pb.WatchXpDeltasRequest(after=after), seconds)
        failure = watch.stream.failure
        if failure is None or failure.reason not in _LOST:
            return
        taken = await self.follow(SNAPSHOT, pb.SnapshotStandingsRequest(), seconds=3)
        messages = taken.stream.messages
        if messages and messages[-1][1].complete:
            again = pb.WatchXpDeltasRequest(after=messages[-1][1].position)
            await self.follow(HISTORY, again, seconds)

    def told(self, message: Any) -> None:
        """Called with every message."""


class Follower(Streaming):
    """Follows the history from where it was."""

    def __init__(self, run: Run, ask: Asker, rate: float) -> None:
        super().__init__(run, ask, rate)
        self._after = types_pb2.Position()

    async def act(self, number: int, chance: random.Random) -> None:
        await self.follow_history(self._after, seconds=chance.uniform(0.5, 3))

    def told(self, message: Any) -> None:
        if isinstance(message, pb.WatchXpDeltasResponse):
            self._after = message.through


class Staller(Streaming):
    """Takes a snapshot and the history from its beginning, reads one message of each, and then
    nothing for longer than a server waits.
    """

    async def act(self, number: int, chance: random.Random) -> None:
        snapshot, history = pb.SnapshotStandingsRequest(), pb.WatchXpDeltasRequest()
        stall_s = chance.uniform(1.5, 2)
        await asyncio.gather(
            self.follow(SNAPSHOT, snapshot, 1, stall_s), self.follow(HISTORY, history, 1, stall_s)
        )


class Visitor(Streaming):
    """Looks into the history for a moment: from the beginning, or from any position that it ever
    was told.
    """

    def __init__(self, run: Run, ask: Asker, rate: float) -> None:
        super().__init__(run, ask, rate)
        self._positions: deque[types_pb2.Position] = deque(maxlen=_KEPT_POSITIONS)

    async def act(self, number: int, chance: random.Random) -> None:
        after = types_pb2.Position()
        if self._positions and chance.random() < 0.7:
            after = self._positions[chance.randrange(len(self._positions))]
        await self.follow_history(after, seconds=chance.uniform(0.2, 1))

    def told(self, message: Any) -> None:
        if isinstance(message, pb.WatchXpDeltasResponse):
            self._positions.append(message.through)


class Copier(Streaming):
    """Takes snapshots, whole or of a few boards."""

    async def act(self, number: int, chance: random.Random) -> None:
        request = pb.SnapshotStandingsRequest()
        if chance.random() < 0.4:
            picked = [chance.choice(world.every_board(self.today)) for _ in range(3)]
            request.boards.extend(picked)
            request.without_profiles = chance.random() < 0.5
        await self.follow(SNAPSHOT, request, seconds=3)


class Spectator(Streaming):
    """Watches a board or one user's rank, and another after a while."""

    async def act(self, number: int, chance: random.Random) -> None:
        board, seconds = world.board(chance, self.today), chance.uniform(1, 4)
        if chance.random() < 0.5:
            top = boards.WatchTopRequest(board=board, count=chance.choice([0, 1, 3, 100]))
            await self.follow("LeaderboardService/WatchTop", top, seconds)
        else:
            rank = boards.WatchRankRequest(board=board, user_id=chance.choice(world.USERS))
            await self.follow("LeaderboardService/WatchRank", rank, seconds)
