"""Clients that read: anything, page by page, also pages that were begun long ago; and the one that
measures how fast ranks are answered.
"""

import asyncio
import random
from collections import deque
from typing import Any

from shared.gen.laurel.leaderboard.v1 import leaderboard_pb2 as pb
from tests.faults.workload import world
from tests.faults.workload.client import READ_S, Client, Run
from tests.faults.workload.reads import Question, Read
from tests.faults.workload.recorder import Asker

_KEPT_PAGES = 100
PROBER = "prober"


def next_page(request: Any, response: Any) -> Any:
    """The request for the page after this one; None when there is none."""
    token = getattr(response, "next_page_token", "")
    if not token:
        return None
    following = type(request)()
    following.CopyFrom(request)
    if hasattr(following, "around_user_id"):
        following.around_user_id = ""
    following.page_token = token
    return following


class Reader(Client):
    """Reads one thing at a time. Of what has more pages it mostly reads the next at once, and
    keeps the token for later.
    """

    def __init__(self, run: Run, ask: Asker, rate: float) -> None:
        super().__init__(run, ask, rate)
        self._pages: deque[Read] = deque(maxlen=_KEPT_PAGES)

    async def act(self, number: int, chance: random.Random) -> None:
        path, request = Question(chance, self.today).any()
        late, onwards = chance.random() < 0.1, chance.random() < 0.7
        if late and self._pages:
            path, request = self._pages[chance.randrange(len(self._pages))]
        for _ in range(chance.randint(1, 4)):
            call = await self.ask.call(path, request, deadline_s=READ_S)
            following = next_page(request, call.response)
            if following is None:
                return
            self._pages.append((path, following))
            if not onwards:
                return
            request = following


class Prober(Client):
    """Asks for a rank again and again, whether the one before is answered or not."""

    def __init__(self, run: Run, ask: Asker, rate: float) -> None:
        super().__init__(run, ask, rate)
        self._asked = asyncio.TaskGroup()

    async def live(self) -> None:
        async with self._asked:
            await super().live()

    async def act(self, number: int, chance: random.Random) -> None:
        request = pb.GetRankRequest(
            board=world.board(chance, self.today), user_id=chance.choice(world.PEOPLE)
        )
        self._asked.create_task(
            self.ask.call("LeaderboardService/GetRank", request, deadline_s=READ_S)
        )
