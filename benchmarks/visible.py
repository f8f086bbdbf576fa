"""`python -m benchmarks.visible SCENE`: from a commit to its being on the board.

Submissions are made at a fixed rate, whether or not the earlier ones are answered, each of another
user. A second task asks LeaderboardService for the ranks of all users whose submission is answered
and not yet seen (BatchGetRanks, one call at a time, at most every PAUSE_S), until the score is at
least the total that SubmitProgress answered. So a time is as fine as that pause and one call, and
it is never too short: it ends when the reader has the answer in hand. It begins when the writer
has its answer, which comes right after the commit; the time from sending is printed too, and is an
upper bound whatever one takes for the commit.
"""

import asyncio
import sys
import time
from collections import Counter
from dataclasses import dataclass, field

from grpc import aio

from benchmarks import population
from benchmarks.callers import open_channel
from benchmarks.figures import percentile, table
from benchmarks.history import TIMEOUT_S, all_applied
from benchmarks.load import CALL_TIMEOUT_S
from benchmarks.scene import Scene
from shared import runtime
from shared.gen.laurel.leaderboard.v1 import leaderboard_pb2
from shared.gen.laurel.leaderboard.v1.leaderboard_pb2_grpc import LeaderboardServiceStub
from shared.gen.laurel.progress.v1.progress_pb2_grpc import ProgressServiceStub
from shared.gen.laurel.types.v1.types_pb2 import WINDOW_ALL_TIME, Board

PER_SECOND = 300
TIMED_S = 10.0
WARM_UP_S = 1.0
PAUSE_S = 0.002
MOST_USERS = 500
"""The most that one BatchGetRanks takes."""


@dataclass(slots=True)
class Submission:
    """One submission's times, in seconds of the monotonic clock; 0: not yet."""

    user_id: str
    sent: float
    answered: float = 0.0
    total: int = 0
    seen: float = 0.0


@dataclass
class Watch:
    """What is answered and not yet seen, by user, and how long the reads took."""

    leaderboard: aio.Channel
    awaited: dict[str, Submission] = field(default_factory=dict)
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    nothing_awaited: asyncio.Event = field(default_factory=asyncio.Event)
    reads_s: list[float] = field(default_factory=list)

    def expect(self, submission: Submission) -> None:
        """Look out for this one from now on."""
        self.awaited[submission.user_id] = submission
        self.wake.set()
        self.nothing_awaited.clear()

    async def run(self) -> None:
        """Looks, until cancelled."""
        stub = LeaderboardServiceStub(self.leaderboard)
        board = Board(metric="xp", window=WINDOW_ALL_TIME)
        while True:
            await self.wake.wait()
            started = time.perf_counter()
            answer = await stub.BatchGetRanks(
                leaderboard_pb2.BatchGetRanksRequest(
                    board=board, user_ids=list(self.awaited)[:MOST_USERS]
                ),
                timeout=CALL_TIMEOUT_S,
            )
            now = time.perf_counter()
            self.reads_s.append(now - started)
            self._note(answer, now)
            await asyncio.sleep(max(started + PAUSE_S - now, 0))

    def _note(self, answer: leaderboard_pb2.BatchGetRanksResponse, now: float) -> None:
        if answer.state.source != leaderboard_pb2.SOURCE_REDIS:
            sys.exit("the boards were answered from PostgreSQL")
        for entry in answer.entries:
            if entry.score >= self.awaited[entry.user_id].total:
                self.awaited.pop(entry.user_id).seen = now
        if not self.awaited:
            self.wake.clear()
            self.nothing_awaited.set()


@dataclass
class Writer:
    """Submits at the fixed rate; `refused` counts, by status, what was not answered."""

    progress: aio.Channel
    watch: Watch
    submissions: list[Submission] = field(default_factory=list)
    refused: Counter[str] = field(default_factory=Counter)

    async def run(self, users: list[int]) -> None:
        """One submission of each user; returns when all are answered."""
        stub = ProgressServiceStub(self.progress)
        began = time.perf_counter()
        async with asyncio.TaskGroup() as group:
            for number, user in enumerate(users):
                await asyncio.sleep(max(began + number / PER_SECOND - time.perf_counter(), 0))
                group.create_task(self._submit(stub, user))

    async def _submit(self, stub: ProgressServiceStub, user: int) -> None:
        request = population.submission(user, population.OBSERVED_LEVEL)
        submission = Submission(request.user_id, time.perf_counter())
        try:
            answer = await stub.SubmitProgress(request, timeout=CALL_TIMEOUT_S)
        except aio.AioRpcError as error:
            self.refused[error.code().name] += 1
            return
        submission.answered = time.perf_counter()
        submission.total = answer.total_xp
        self.submissions.append(submission)
        self.watch.expect(submission)


async def main(scene: Scene) -> None:
    """Measures and prints."""
    count = min(scene.users, round(PER_SECOND * (WARM_UP_S + TIMED_S)))
    async with (
        open_channel(scene.progress.address) as progress,
        open_channel(scene.leaderboard.address) as leaderboard,
    ):
        await all_applied(progress, leaderboard)
        watch = Watch(leaderboard)
        writer = Writer(progress, watch)
        async with asyncio.TaskGroup() as group:
            watching = group.create_task(watch.run())
            began = time.perf_counter()
            await writer.run(population.shuffled(scene.users, seed=1)[:count])
            took_s = time.perf_counter() - began
            if not writer.submissions:
                sys.exit(f"all submissions were refused: {dict(writer.refused)}")
            async with asyncio.timeout(TIMEOUT_S):
                await watch.nothing_awaited.wait()
            watching.cancel()
    warm = [one for one in writer.submissions if one.sent - began > WARM_UP_S]
    _print(warm or writer.submissions, count / took_s, watch.reads_s)
    for status, refused in writer.refused.items():
        print(f"  {refused:,} submissions besides were refused: {status}", flush=True)


def _print(submissions: list[Submission], per_second: float, reads_s: list[float]) -> None:
    visible = [one.seen - one.answered for one in submissions]
    print(
        f"\nCommit to visible at {per_second:.0f} submissions/s: "
        f"p50 {_ms(visible, 50)}, p99 {_ms(visible, 99)}"
    )
    rows = [
        [name, _ms(times, 50), _ms(times, 90), _ms(times, 99), _ms(times, 100)]
        for name, times in (
            ("answered to visible", visible),
            ("sent to visible", [one.seen - one.sent for one in submissions]),
            ("sent to answered", [one.answered - one.sent for one in submissions]),
            ("one read", reads_s),
        )
    ]
    print(table(["", "p50", "p90", "p99", "most"], rows))
    print(
        f"  {len(submissions):,} submissions, each looked for by reads at least "
        f"{1000 * PAUSE_S:.0f} ms apart",
        flush=True,
    )


def _ms(times_s: list[float], percent: float) -> str:
    return f"{1000 * percentile(times_s, percent):.1f} ms"


if __name__ == "__main__":
    runtime.run(main(Scene.from_json(sys.argv[1])))
