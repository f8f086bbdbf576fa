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
from tests.faults.workload.recorder import Asker

AT_ONCE = 120
"""Calls of each service: more than one caller may have under way."""
_STREAMS = 40
"""More than the service takes."""
_STREAMS_S = 0.3
_LARGE = 5 * 1024 * 1024
"""More than the services take."""
_EPOCH = "00000000-0000-4000-8000-000000000000"


class Flood(Client):
    """Each time a crowd of reads at once, and one of each thing that must be refused."""

    async def act(self, number: int, chance: random.Random) -> None:
        asked = [self._refused(path, request) for path, request in _improper(chance)]
        for _ in range(AT_ONCE):
            top = boards.GetTopRequest(board=world.board(chance, self.today), page_size=500)
            asked.append(self.ask.call("LeaderboardService/GetTop", top, deadline_s=READ_S))
            stats = pb.GetUserStatsRequest(user_id=chance.choice(world.PEOPLE))
            asked.append(self.ask.call("ProgressService/GetUserStats", stats, deadline_s=READ_S))
        await asyncio.gather(*asked)
        await overfill(self.ask, world.board(chance, self.today))
        forged = types_pb2.Position(epoch=_EPOCH, sequence=chance.randint(1, 10**6))
        request = pb.WatchXpDeltasRequest(after=forged)
        await _watch(self.ask, "ProgressService/WatchXpDeltas", request, READ_S)

    def _refused(self, path: str, request: Message) -> Awaitable[Call]:
        return self.ask.call(path, request, deadline_s=READ_S)


async def overfill(ask: Asker, board: types_pb2.Board) -> None:
    """More watches at once than a replica takes."""
    request, path = boards.WatchTopRequest(board=board, count=1), "LeaderboardService/WatchTop"
    watches = (_watch(ask, path, request, _STREAMS_S) for _ in range(_STREAMS))
    await asyncio.gather(*watches)


async def _watch(ask: Asker, path: str, request: Message, seconds: float) -> None:
    watch = ask.watch(path, request)
    leaving = asyncio.get_running_loop().call_later(seconds, watch.leave)
    while await watch.read() is not None:
        pass
    leaving.cancel()


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
