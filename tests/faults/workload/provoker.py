"""A client that calls what is planted to fail."""

import asyncio
import random

from shared.gen.laurel.leaderboard.v1 import leaderboard_pb2 as boards
from shared.gen.laurel.progress.v1 import progress_pb2 as pb
from shared.gen.laurel.types.v1 import types_pb2
from tests.faults import planted
from tests.faults.workload import world
from tests.faults.workload.client import READ_S, WRITE_S, Client
from tests.faults.workload.recorder import Asker


async def provoke(ask: Asker, request_id: str, user_id: str, board: types_pb2.Board) -> None:
    """One of each at once."""
    award = pb.AwardXpRequest(
        user_id=user_id, amount=1, source=planted.SOURCE, request_id=request_id
    )
    rank = boards.GetRankRequest(board=board, user_id=planted.USER)
    await asyncio.gather(
        ask.call("CatalogService/PutUser", world.user(planted.USER), deadline_s=WRITE_S),
        ask.call("ProgressService/AwardXp", award, deadline_s=WRITE_S),
        ask.call("LeaderboardService/GetRank", rank, deadline_s=READ_S),
    )


class Provoker(Client):
    """Each time one of each, beside the calls of all others, and never again."""

    async def act(self, number: int, chance: random.Random) -> None:
        board = world.board(chance, self.today)
        await provoke(self.ask, f"{self.name}-{number}", chance.choice(world.USERS), board)
