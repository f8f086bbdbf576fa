"""`python -m benchmarks.rebuild SCENE`: GetRank while all boards are rebuilt, against before.

Some callers ask one after the other for the ranks of random users, and count what is not answered
from Redis. In turns of two: a while without a rebuild, then a rebuild from its request to its last
message. The figure is the median of the ratios of the 99th percentiles.
"""

import asyncio
import sys
import time
from dataclasses import dataclass, field
from itertools import cycle

from grpc import aio

from benchmarks import population
from benchmarks.callers import open_channel
from benchmarks.figures import median, percentile, table
from benchmarks.history import all_applied
from benchmarks.load import CALL_TIMEOUT_S
from benchmarks.scene import Scene
from shared import runtime
from shared.gen.laurel.leaderboard.v1 import admin_pb2
from shared.gen.laurel.leaderboard.v1 import leaderboard_pb2 as pb
from shared.gen.laurel.leaderboard.v1.admin_pb2_grpc import LeaderboardAdminServiceStub
from shared.gen.laurel.leaderboard.v1.leaderboard_pb2_grpc import LeaderboardServiceStub

MOST_RATIO = 3.0
CALLERS = 4
TURNS = 3
WARM_UP_S = 0.5
QUIET_S = 3.0


@dataclass
class Readers:
    """Their latest times, in seconds, and answers that did not come from Redis."""

    stub: LeaderboardServiceStub
    users: int
    seconds: list[float] = field(default_factory=list)
    elsewhere: int = 0

    async def read(self, seed: int) -> None:
        """Asks until cancelled."""
        for number in cycle(population.shuffled(self.users, seed)):
            request = pb.GetRankRequest(user_id=population.user_id(number))
            started = time.perf_counter()
            answer = await self.stub.GetRank(request, timeout=CALL_TIMEOUT_S)
            self.seconds.append(time.perf_counter() - started)
            self.elsewhere += answer.state.source != pb.SOURCE_REDIS

    def taken(self) -> list[float]:
        """The times since this was asked last."""
        times, self.seconds = self.seconds, []
        return times


@dataclass(frozen=True)
class Turn:
    """The times of calls before and during one rebuild."""

    before: list[float]
    during: list[float]
    standings: int
    rebuild_s: float

    @property
    def ratio(self) -> float:
        """Of the 99th percentiles."""
        return percentile(self.during, 99) / percentile(self.before, 99)


async def _turn(readers: Readers, admin: LeaderboardAdminServiceStub) -> Turn:
    readers.taken()
    await asyncio.sleep(QUIET_S)
    before = readers.taken()
    started = time.monotonic()
    standings = 0
    async for message in admin.RebuildBoards(admin_pb2.RebuildBoardsRequest()):
        standings = message.standings_loaded
    return Turn(before, readers.taken(), standings, time.monotonic() - started)


async def _measure(leaderboard: aio.Channel, users: int) -> tuple[list[Turn], int]:
    readers = Readers(LeaderboardServiceStub(leaderboard), users)
    admin = LeaderboardAdminServiceStub(leaderboard)
    async with asyncio.TaskGroup() as group:
        reading = [group.create_task(readers.read(seed)) for seed in range(CALLERS)]
        await asyncio.sleep(WARM_UP_S)
        turns = [await _turn(readers, admin) for _ in range(TURNS)]
        for task in reading:
            task.cancel()
    return turns, readers.elsewhere


async def main(scene: Scene) -> None:
    """Measures and prints."""
    async with (
        open_channel(scene.progress.address) as progress,
        open_channel(scene.leaderboard.address) as leaderboard,
    ):
        await all_applied(progress, leaderboard)
        turns, elsewhere = await _measure(leaderboard, scene.users)
    ratio = median([turn.ratio for turn in turns])
    verdict = "reached" if ratio <= MOST_RATIO else "NOT REACHED"
    print(
        f"\nGetRank during a rebuild: p99 {ratio:.2f} times that before "
        f"(goal at most {MOST_RATIO:.0f}: {verdict})"
    )
    rows = [
        [
            str(number),
            f"{turn.standings:,}",
            f"{turn.rebuild_s:.1f} s",
            f"{1000 * percentile(turn.before, 99):.1f} ms",
            f"{1000 * percentile(turn.during, 99):.1f} ms",
            f"{1000 * percentile(turn.during, 100):.1f} ms",
            f"{turn.ratio:.2f}",
        ]
        for number, turn in enumerate(turns, 1)
    ]
    columns = ["turn", "standings", "rebuild", "p99 before", "p99 during", "most", "ratio"]
    print(table(columns, rows))
    print(f"  {elsewhere} answers did not come from Redis", flush=True)


if __name__ == "__main__":
    runtime.run(main(Scene.from_json(sys.argv[1])))
