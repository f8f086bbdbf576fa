"""A client that now and then asks for more than is right: too much at once, too large, forged."""

import asyncio
import random
from collections.abc import Awaitable

from google.protobuf.message import Message

from shared.gen.laurel.leaderboard.v1 import leaderboard_pb2 as boards
from shared.gen.laurel.progress.v1 import progress_pb2 as pb
from shared.gen.laurel.types.v1 import types_pb2
from tests.faults.recording import Call
from tests.faults.workload import world
from tests.faults.workload.client import READ_S, Client

AT_ONCE = 40
_LARGE = 5 * 1024 * 1024
"""More than the services take."""
_EPOCH = "00000000-0000-4000-8000-000000000000"


class Flood(Client):
    """Each time a crowd of reads at once, and one of each thing that must be refused."""

    async def act(self, number: int, chance: random.Random) -> None:
        asked = [self._refused(path, request) for path, request in _improper(chance)]
        for _ in range(AT_ONCE):
            request = boards.GetTopRequest(board=world.board(chance, self.today), page_size=500)
            asked.append(self.ask.call("LeaderboardService/GetTop", request, deadline_s=READ_S))
        await asyncio.gather(*asked)
        forged = types_pb2.Position(epoch=_EPOCH, sequence=chance.randint(1, 10**6))
        watch = self.ask.watch(
            "ProgressService/WatchXpDeltas", pb.WatchXpDeltasRequest(after=forged)
        )
        leaving = asyncio.get_running_loop().call_later(READ_S, watch.leave)
        while await watch.read() is not None:
            pass
        leaving.cancel()

    def _refused(self, path: str, request: Message) -> Awaitable[Call]:
        return self.ask.call(path, request, deadline_s=READ_S)


def _improper(chance: random.Random) -> list[tuple[str, Message]]:
    """Requests that no service may honour."""
    forged = "".join(chance.choices("ABCDEFabcdef0123456789_-", k=120))
    user_id = chance.choice(world.USERS)
    return [
        ("LeaderboardService/GetTop", boards.GetTopRequest(page_token=forged)),
        (
            "LeaderboardService/GetRank",
            boards.GetRankRequest(user_id=user_id, consistency_token=forged),
        ),
        ("LeaderboardService/GetRank", boards.GetRankRequest(user_id="x" * _LARGE)),
        ("LeaderboardService/BatchGetRanks", boards.BatchGetRanksRequest(user_ids=["u"] * 501)),
        ("StandingsService/ListStandings", pb.ListStandingsRequest(page_token=forged)),
        (
            "ProgressService/ListXpEntries",
            pb.ListXpEntriesRequest(user_id=user_id, page_token=forged),
        ),
        ("ProgressService/AwardXp", pb.AwardXpRequest(user_id=user_id, amount=-1, source="x")),
        ("ProgressService/GetUserStats", pb.GetUserStatsRequest(user_id="no one' OR 1=1 --")),
    ]
