"""What is asked when a run is over: are the boards at the head, what does each of them say, and do
the services' own verifications agree.
"""

import asyncio
from collections.abc import Sequence
from datetime import date
from typing import Any

from google.protobuf.message import Message
from grpc import aio

from shared.gen.laurel.leaderboard.v1 import admin_pb2 as leaderboard_admin
from shared.gen.laurel.leaderboard.v1 import leaderboard_pb2 as boards
from shared.gen.laurel.progress.v1 import admin_pb2 as progress_admin
from shared.gen.laurel.progress.v1 import progress_pb2 as progress
from shared.gen.laurel.types.v1 import types_pb2
from tests.faults.workload import world
from tests.faults.workload.connection import SMALL_WINDOW, Addresses, Connection
from tests.faults.workload.flood import overfill
from tests.faults.workload.provoker import provoke
from tests.faults.workload.reader import next_page
from tests.faults.workload.recorder import Asker, Recorder
from tests.faults.workload.returner import bring, last_given
from tests.faults.workload.watcher import HISTORY, SNAPSHOT

RESTORE = "postgres.restore"
_DEADLINE_S = 5.0
_AUDIT_S = 20.0
_STALL_S = 1.5
"""Longer than the services under test wait for a reader."""
_AT_ONCE = 16
_LIVE = leaderboard_admin.GetStatusResponse.STATE_LIVE


class Ending:
    """Its calls go past the proxies to each replica in turn."""

    def __init__(self, recorder: Recorder, direct: Addresses) -> None:
        self._recorder = recorder
        self._connection = Connection(direct, "admin", "ending")
        self._stalling = Connection(direct, "service", "late-staller", options=SMALL_WINDOW)
        self._progress = range(len(direct.progress))
        self._leaderboard = range(len(direct.leaderboard))

    async def close(self) -> None:
        await self._connection.close()
        await self._stalling.close()

    async def lag_ends(self, within_s: float) -> bool:
        """Waits until everything is numbered, and every replica's boards are live and hold it.
        False: not in that time.
        """
        try:
            async with asyncio.timeout(within_s):
                while not await self._at_head():
                    await asyncio.sleep(0.02)
        except TimeoutError:
            return False
        return True

    async def _at_head(self) -> bool:
        """Epochs are compared too: boards of a life that is gone can have the same number."""
        asked = {
            "ProgressAdminService/GetStatus": progress_admin.GetStatusRequest(),
            "StandingsService/ListStandings": progress.ListStandingsRequest(page_size=1),
        }
        try:
            status, standings = [await self._ask(path, one) for path, one in asked.items()]
            boards_of = [await self._applied(turn) for turn in self._leaderboard]
        except aio.AioRpcError:
            return False
        head = standings.position
        numbered = not status.unnumbered_changes and head.sequence == status.head.sequence
        return numbered and all(applied == head for applied in boards_of)

    async def _applied(self, turn: int) -> types_pb2.Position | None:
        """How far the boards of a replica are that is live; None of one that is not."""
        path = "LeaderboardAdminService/GetStatus"
        status = await self._ask(path, leaderboard_admin.GetStatusRequest(), turn)
        return status.applied if status.state == _LIVE else None

    async def _ask(self, path: str, request: Message, turn: int = 0) -> Any:
        """Of no interest to a validator, and so not recorded."""
        return await self._connection.method(path, turn)(request, timeout=_DEADLINE_S)

    async def bring_back(self) -> None:
        """What clients were given last: before PostgreSQL was put back to the past, and now."""
        recorded = self._recorder.recorded
        ask = self._recorder.asker("late", self._connection)
        for act in list(recorded.acts):
            if act.fault == RESTORE:
                await bring(ask, last_given(recorded, act.begun))
        newest = last_given(recorded, self._recorder.now())
        await bring(ask, [read for read in newest if read[0] != HISTORY])

    async def last_reads(self, today: date) -> None:
        """Every board, whole, from every replica; one in pages; the history; what must fail."""
        ask, room = self._recorder.asker("last", self._connection), asyncio.Semaphore(_AT_ONCE)

        async def read(path: str, request: Message, turn: int) -> None:
            async with room:
                await ask.call(path, request, deadline_s=_DEADLINE_S, turn=turn)

        async with asyncio.TaskGroup() as group:
            for board in world.every_board(today):
                top = boards.GetTopRequest(board=board, page_size=500)
                standings = progress.ListStandingsRequest(board=board, page_size=500)
                for turn in self._leaderboard:
                    group.create_task(read("LeaderboardService/GetTop", top, turn))
                for turn in self._progress:
                    group.create_task(read("StandingsService/ListStandings", standings, turn))
            group.create_task(_two_pages(ask))
            group.create_task(_first_changes(ask))
            group.create_task(provoke(ask, "last", world.USERS[0], types_pb2.Board()))

    async def stall(self) -> None:
        """Nothing of a snapshot is read for longer than the service waits."""
        ask = self._recorder.asker("late-staller", self._stalling)
        watch = ask.watch(SNAPSHOT, progress.SnapshotStandingsRequest())
        leaving = asyncio.get_running_loop().call_later(_AUDIT_S, watch.leave)
        await asyncio.sleep(_STALL_S)
        while await watch.read() is not None:
            pass
        leaving.cancel()

    async def overfill(self) -> None:
        """More watches at once than a replica takes of anyone but administrators."""
        await overfill(self._recorder.asker("late-crowd", self._stalling), types_pb2.Board())

    async def audit(self) -> None:
        """The ledger, totals, standings, and every replica's boards are compared."""
        ask = self._recorder.asker("auditor", self._connection)
        ledger = progress_admin.VerifyLedgerRequest()
        compared = leaderboard_admin.VerifyBoardsRequest()
        await _whole(ask, "ProgressAdminService/VerifyLedger", ledger, self._progress)
        await _whole(ask, "LeaderboardAdminService/VerifyBoards", compared, self._leaderboard)


async def _first_changes(ask: Asker) -> None:
    """The history from its beginning, as far as one message goes."""
    watch = ask.watch(HISTORY, progress.WatchXpDeltasRequest())
    leaving = asyncio.get_running_loop().call_later(_DEADLINE_S, watch.leave)
    if await watch.read() is not None:
        watch.leave()
        await watch.read()
    leaving.cancel()


async def _two_pages(ask: Asker) -> None:
    path, request = "LeaderboardService/GetTop", boards.GetTopRequest(page_size=1)
    call = await ask.call(path, request, deadline_s=_DEADLINE_S)
    following = next_page(request, call.response)
    if following is not None:
        await ask.call(path, following, deadline_s=_DEADLINE_S)


async def _whole(ask: Asker, path: str, request: Message, turns: Sequence[int]) -> None:
    """Reads the stream of each replica to its end."""
    for turn in turns:
        watch = ask.watch(path, request, turn=turn)
        leaving = asyncio.get_running_loop().call_later(_AUDIT_S, watch.leave)
        while await watch.read() is not None:
            pass
        leaving.cancel()
