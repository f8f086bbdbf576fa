"""A rebuild of 200,000 standings while others read and write: no answer is wrong or missing."""

import asyncio
import random
import time
from bisect import bisect_left, insort
from collections.abc import Callable
from dataclasses import dataclass, field

import asyncpg

from progress_service.settings import ProgressSettings
from shared.gen.laurel.leaderboard.v1 import admin_pb2
from shared.gen.laurel.leaderboard.v1 import leaderboard_pb2 as pb
from shared.gen.laurel.types.v1 import types_pb2
from shared.periods import Window
from tests.conftest import running_progress
from tests.history_fold import watched
from tests.leaderboard_app import REDIS, dial, running
from tests.pair import Pair
from tests.pair_acts import period
from tests.progress import Progress, level

USERS = 20_000
BOARDS = [
    types_pb2.Board(
        metric="xp",
        course_id=course,
        window=types_pb2.Window.ValueType(window),
        period=period(window),
    )
    for course in ("", "c")
    for window in Window
]
_FILL = """
    INSERT INTO users (user_id, display_name, avatar_url, time_zone, hidden)
    SELECT 'u' || n, 'User ' || n, '', 'UTC', false FROM generate_series(0, {users} - 1) n;
    INSERT INTO profiles (user_id, display_name, avatar_url, hidden)
    SELECT 'u' || n, 'User ' || n, '', false FROM generate_series(0, {users} - 1) n;
    INSERT INTO standings (user_id, board_id, score, added, hidden)
    SELECT 'u' || n, board_id, 1 + n % 5000, 0, false
    FROM generate_series(0, {users} - 1) n CROSS JOIN boards ORDER BY 1, 2;
    INSERT INTO board_buckets (board_id, bucket, users)
    SELECT board_id, score_bucket(score), count(*) FROM standings GROUP BY 1, 2;
    ANALYZE;
"""


async def _fill(url: str) -> None:
    """Standings that nobody earned, on all boards of today: a rebuild asks no more."""
    connection = await asyncpg.connect(url)
    try:
        await connection.executemany(
            "INSERT INTO boards (metric, course_id, board_window, period) VALUES ($1, $2, $3, $4)",
            [(b.metric, b.course_id, b.window, b.period) for b in BOARDS],
        )
        await connection.execute(_FILL.format(users=USERS))
    finally:
        await connection.close()


@dataclass
class Ranks:
    """GetRank of random users, over and over, and how long each took."""

    pair: Pair
    random: random.Random
    answers: list[tuple[str, pb.GetRankResponse]] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)

    async def read(self) -> None:
        while True:
            user = f"u{self.random.randrange(USERS)}"
            request = pb.GetRankRequest(board=self.random.choice(BOARDS), user_id=user)
            started = time.perf_counter()
            answer = await self.pair.boards.GetRank(request, timeout=10)
            self.seconds.append(time.perf_counter() - started)
            self.answers.append((user, answer))


async def _write(progress: Progress, seed: int) -> None:
    chance = random.Random(seed)
    while True:
        await progress.award(f"u{chance.randrange(USERS)}", chance.randint(1, 50), course_id="c")


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.01)


async def _check(progress: Progress, answers: list[tuple[str, pb.GetRankResponse]]) -> None:
    """Every award counts on all boards alike, so one list of scores serves for all of them."""
    last = max(answer.state.position.sequence for _, answer in answers)
    changes = await watched(progress, last)
    scores = {f"u{n}": 1 + n % 5000 for n in range(USERS)}
    negated = sorted(-score for score in scores.values())
    done = 0
    for user, answer in sorted(answers, key=lambda one: one[1].state.position.sequence):
        assert answer.state.source == REDIS
        assert answer.state.total_users == USERS
        for change in changes[done : answer.state.position.sequence]:
            delta = change.xp_delta
            assert delta.amount > 0
            before = scores[delta.user_id]
            del negated[bisect_left(negated, -before)]
            scores[delta.user_id] = before + delta.amount
            insort(negated, -scores[delta.user_id])
        done = max(done, answer.state.position.sequence)
        assert answer.entry.score == scores[user]
        assert answer.entry.rank == 1 + bisect_left(negated, -scores[user])


async def test_a_rebuild_of_200_000_standings_disturbs_no_reader(
    postgres_url: str, redis_url: str, record_property: Callable[[str, object], None]
) -> None:
    await _fill(postgres_url)
    settings = ProgressSettings(postgres_url=postgres_url, drain_seconds=0.5)
    async with (
        running_progress(settings) as progress,
        running(redis_url, progress.target) as app,
        dial(app) as channel,
    ):
        pair = Pair(channel, progress)
        await progress.put_course("c", level("l1"))
        await progress.award("u0", 1, course_id="c")
        await pair.settled()
        ranks = Ranks(pair, random.Random(1))
        tasks = [asyncio.create_task(ranks.read()) for _ in range(4)]
        tasks += [asyncio.create_task(_write(progress, seed)) for seed in range(2)]
        try:
            await _until(lambda: len(ranks.answers) >= 2000 or any(t.done() for t in tasks))
            before = len(ranks.answers)
            progress_made = [
                message
                async for message in pair.admin.RebuildBoards(admin_pb2.RebuildBoardsRequest())
            ]
            after = len(ranks.answers)
            await _until(lambda: len(ranks.answers) >= after + 500 or any(t.done() for t in tasks))
        finally:
            for task in tasks:
                task.cancel()
            outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(isinstance(outcome, asyncio.CancelledError) for outcome in outcomes), outcomes
        loaded = [message.standings_loaded for message in progress_made]
        assert loaded == sorted(loaded)
        assert progress_made[-1].complete
        assert loaded[-1] >= USERS * len(BOARDS)
        record_property(
            "measured",
            f"rebuild of {loaded[-1]:,} standings: {after - before:,} ranks meanwhile; p99 of "
            f"GetRank {_p99(ranks.seconds[:before]):.1f} ms before, "
            f"{_p99(ranks.seconds[before:after]):.1f} ms during",
        )
        assert after > before
        await _check(progress, ranks.answers)


def _p99(seconds: list[float]) -> float:
    times = sorted(seconds)
    return 1000 * times[int(len(times) * 0.99)]
