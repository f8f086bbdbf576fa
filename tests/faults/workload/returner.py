"""Who comes back with what it was given before: positions, pages, consistency tokens. After
PostgreSQL was restored to the past some of it is of a history that is gone.
"""

import asyncio
import random
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any

from shared.gen.laurel.leaderboard.v1 import leaderboard_pb2 as boards
from shared.gen.laurel.progress.v1 import progress_pb2 as pb
from tests.faults.recording import Call, Recorded
from tests.faults.workload import world
from tests.faults.workload.client import READ_S, WRITE_S, Client, Run
from tests.faults.workload.reader import next_page
from tests.faults.workload.reads import Read
from tests.faults.workload.recorder import Asker
from tests.faults.workload.watcher import HISTORY

_OLDEST, _NEWEST = 20, 4
"""How many turns ago something was given that is brought back."""
_BROUGHT = 6
"""Of each kind, when the run is over."""


class Returner(Client):
    """Takes pages, a position and a token each time, and brings back those of a while ago."""

    def __init__(self, run: Run, ask: Asker, rate: float) -> None:
        super().__init__(run, ask, rate)
        self._given: deque[list[Read]] = deque(maxlen=_OLDEST)

    async def act(self, number: int, chance: random.Random) -> None:
        user_id = chance.choice(world.USERS)
        taken: dict[str, Any] = {
            "LeaderboardService/GetTop": boards.GetTopRequest(page_size=2),
            "StandingsService/ListStandings": pb.ListStandingsRequest(page_size=2),
            "ProgressService/ListXpEntries": pb.ListXpEntriesRequest(user_id=user_id, page_size=1),
            "ProgressService/ListAttempts": pb.ListAttemptsRequest(course_id="c", page_size=1),
            "ProgressService/AwardXp": _credit(user_id, f"{self.name}-{number}"),
        }
        calls = await asyncio.gather(*(self._take(taken[path], path) for path in taken))
        given = [read for call in calls for read in _good_for(call)]
        at = -chance.randint(_NEWEST, _OLDEST)
        brought = self._given[at] if len(self._given) >= -at else []
        self._given.append(given)
        await bring(self.ask, brought)

    async def _take(self, request: Any, path: str) -> Call:
        return await self.ask.call(path, request, deadline_s=WRITE_S)


def _credit(user_id: str, request_id: str) -> pb.AwardXpRequest:
    return pb.AwardXpRequest(user_id=user_id, amount=1, source="returner", request_id=request_id)


def _good_for(call: Call) -> Iterator[Read]:
    """What the answer to a call can be brought back in."""
    if (following := next_page(call.request, call.response)) is not None:
        yield f"{call.service}/{call.method}", following
    if isinstance(call.response, pb.ListStandingsResponse):
        yield HISTORY, pb.WatchXpDeltasRequest(after=call.response.position)
    if token := getattr(call.response, "consistency_token", ""):
        user_id = getattr(call.request, "user_id", "") or world.USERS[0]
        yield (
            "LeaderboardService/GetRank",
            boards.GetRankRequest(user_id=user_id, consistency_token=token),
        )


async def bring(ask: Asker, reads: Iterable[Read]) -> None:
    """Asks all of it, one after the other; of a stream the first message."""
    for path, request in reads:
        if path != HISTORY:
            await ask.call(path, request, deadline_s=READ_S)
            continue
        watch = ask.watch(path, request)
        leaving = asyncio.get_running_loop().call_later(READ_S, watch.leave)
        while await watch.read() is not None:
            watch.leave()
        leaving.cancel()


def last_given(recorded: Recorded, moment: float) -> list[Read]:
    """What clients were given last before a moment: some pages of each service, some positions,
    some tokens.
    """
    found: dict[str, list[Read]] = {}
    for call in sorted(recorded.calls, key=lambda call: -call.ended):
        if call.ended < moment:
            _add(found, _good_for(call))
    told = (
        (at, message.through)
        for stream in recorded.streams
        if stream.method == "WatchXpDeltas"
        for at, message in stream.messages
        if at < moment
    )
    latest = sorted(told, key=lambda one: -one[0])
    _add(found, ((HISTORY, pb.WatchXpDeltasRequest(after=one)) for _, one in latest))
    return [read for reads in found.values() for read in reads]


def _add(found: dict[str, list[Read]], reads: Iterable[Read]) -> None:
    for read in reads:
        kept = found.setdefault(read[0], [])
        if len(kept) < _BROUGHT:
            kept.append(read)
