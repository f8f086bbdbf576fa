"""SnapshotStandings: a whole copy of profiles and boards, and that they equal the ledger."""

import asyncio
import random
from collections import defaultdict
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from progress_service.settings import ProgressSettings
from shared.errors import ResourceExhausted
from shared.gen.laurel.progress.v1 import admin_pb2
from shared.gen.laurel.progress.v1 import catalog_pb2 as catalog
from shared.gen.laurel.progress.v1 import progress_pb2 as pb
from shared.gen.laurel.types.v1 import types_pb2
from tests.conftest import running_progress
from tests.progress import Progress, award, eventually, level, refused

BoardName = tuple[str, str, int, str]

Scores = dict[BoardName, dict[str, int]]


async def put_user(progress: Progress, user_id: str, **fields: Any) -> None:
    user = catalog.User(user_id=user_id, **fields)
    await progress.catalog.PutUser(catalog.PutUserRequest(user=user))


async def snapshot(
    progress: Progress, **fields: Any
) -> tuple[dict[str, pb.ProfileChange], Scores, types_pb2.Position]:
    """A whole snapshot; what every snapshot must hold is checked on the way."""
    profiles: dict[str, pb.ProfileChange] = {}
    scores: Scores = defaultdict(dict)
    positions: list[types_pb2.Position] = []
    complete = False
    async for message in progress.standings.SnapshotStandings(
        pb.SnapshotStandingsRequest(**fields)
    ):
        assert not complete
        positions.append(message.position)
        complete = message.complete
        assert not (message.profiles and scores)
        for profile in message.profiles:
            assert profile.user_id not in profiles
            profiles[profile.user_id] = profile
        board = message.board
        for one in message.standings:
            name = (board.metric, board.course_id, board.window, board.period)
            assert one == pb.Standing(user_id=one.user_id, score=one.score, hidden=one.hidden)
            assert not profiles or one.hidden == profiles[one.user_id].hidden
            assert one.user_id not in scores[name]
            scores[name][one.user_id] = one.score
    assert complete
    assert all(position == positions[0] for position in positions)
    return profiles, scores, positions[0]


async def test_before_the_first_change_a_snapshot_is_empty_and_whole(progress: Progress) -> None:
    profiles, scores, position = await snapshot(progress)
    assert (profiles, scores, position.sequence) == ({}, {}, 0)


async def test_a_snapshot_has_every_profile_first_and_hidden_users_with_their_scores(
    progress: Progress,
) -> None:
    odd = 'A "quoted", \\ name; 李'
    await put_user(progress, "ann", display_name=odd, avatar_url="https://x.example/a,b")
    await put_user(progress, "eve", hidden=True)
    await progress.put_users("idle")
    await progress.award("ann", 5)
    await progress.award("eve", 7)
    at = await progress.settled()
    profiles, scores, position = await snapshot(progress)
    assert position == at
    assert list(profiles) == ["ann", "eve", "idle"]
    assert profiles["ann"] == pb.ProfileChange(
        user_id="ann", display_name=odd, avatar_url="https://x.example/a,b"
    )
    assert profiles["eve"].hidden
    assert scores["xp", "", types_pb2.WINDOW_ALL_TIME, ""] == {"ann": 5, "eve": 7}
    assert len(scores) == 5
    # The stream goes on from there.
    call: Any = progress.progress.WatchXpDeltas(pb.WatchXpDeltasRequest(after=position))
    assert list((await call.read()).changes) == []
    call.cancel()


async def test_a_snapshot_without_profiles_still_says_who_is_hidden(progress: Progress) -> None:
    await put_user(progress, "ann", hidden=True)
    await progress.put_users("bob")
    for user_id in ("ann", "bob"):
        await progress.award(user_id, 5)
    await progress.settled()
    request = pb.SnapshotStandingsRequest(boards=[types_pb2.Board()], without_profiles=True)
    messages = [one async for one in progress.standings.SnapshotStandings(request)]
    assert not any(one.profiles for one in messages)
    found = [(s.user_id, s.score, s.hidden) for one in messages for s in one.standings]
    assert sorted(found) == [("ann", 5, True), ("bob", 5, False)]
    assert messages[-1].complete


async def test_a_board_by_name_has_all_that_the_whole_snapshot_has_of_it(
    progress: Progress,
) -> None:
    users = [f"u{n}" for n in range(12)]
    for n, user_id in enumerate(users):
        await put_user(progress, user_id, hidden=n % 3 == 0)
        await progress.award(user_id, 5)
    await progress.settled()
    async with progress.sql() as sql:
        # What only damage, or a revocation, makes of a score.
        await sql.execute("UPDATE standings SET score = -score WHERE user_id IN ('u0', 'u1')")
        await sql.execute("UPDATE standings SET score = 0 WHERE user_id IN ('u3', 'u4')")
    _, whole, _ = await snapshot(progress)
    for name in whole:
        metric, course_id, window, period = name
        board = types_pb2.Board(
            metric=metric,
            course_id=course_id,
            window=types_pb2.Window.ValueType(window),
            period=period,
        )
        _, scores, _ = await snapshot(progress, boards=[board, board])
        assert scores == {name: whole[name]}
        assert len(whole[name]) == 10
        assert {whole[name][user_id] for user_id in ("u0", "u1")} == {-5}


async def test_a_snapshot_holds_the_boards_and_periods_that_were_asked_for(
    progress: Progress,
) -> None:
    await progress.put_users("ann")
    await progress.put_course("c", level("l1"))
    for day in ("2024-12-29", "2024-12-30", "2026-01-05"):
        moment = datetime.fromisoformat(f"{day}T12:00:00+00:00")
        await progress.award("ann", 1, occurred_time=moment, course_id="c")
    await progress.settled()
    year = types_pb2.Board(window=types_pb2.WINDOW_YEAR, period="2024")
    course = types_pb2.Board(course_id="c")
    _, scores, _ = await snapshot(progress, boards=[year, course, types_pb2.Board(metric="none")])
    assert scores == {
        ("xp", "", types_pb2.WINDOW_YEAR, "2024"): {"ann": 2},
        ("xp", "c", types_pb2.WINDOW_ALL_TIME, ""): {"ann": 3},
    }
    floors = [
        pb.PeriodFloor(window=types_pb2.WINDOW_WEEK, first_period="2025-W01"),
        pb.PeriodFloor(window=types_pb2.WINDOW_DAY, first_period="2026-01-05"),
        pb.PeriodFloor(window=types_pb2.WINDOW_MONTH, first_period="2026-02"),
    ]
    _, scores, _ = await snapshot(progress, floors=floors)
    names = {(window, period) for _, _, window, period in scores}
    assert names == {
        (types_pb2.WINDOW_ALL_TIME, ""),
        (types_pb2.WINDOW_YEAR, "2024"),
        (types_pb2.WINDOW_YEAR, "2026"),
        (types_pb2.WINDOW_WEEK, "2025-W01"),
        (types_pb2.WINDOW_WEEK, "2026-W02"),
        (types_pb2.WINDOW_DAY, "2026-01-05"),
    }


async def test_a_large_snapshot_comes_in_parts(progress: Progress) -> None:
    async with progress.sql() as sql:
        for table in ("users (time_zone, ", "unnumbered_changes (kind, "):
            extra = "''" if table.startswith("users") else "2"
            await sql.execute(
                f"""INSERT INTO {table}user_id, display_name, avatar_url, hidden)
                    SELECT {extra}, 'u' || n, '', '', n % 7 = 0 FROM generate_series(1, 4500) n"""
            )
        await sql.execute(
            """INSERT INTO unnumbered_changes (kind, user_id, entry_id, metric, amount, source,
                                               course_id, occurred_time, occurred_date, windows)
               SELECT 1, 'u' || n, n, 'xp', n, 'test', '', now(), '2026-11-20', 2
               FROM generate_series(1, 4500) n"""
        )
    await progress.settled()
    messages = [
        message
        async for message in progress.standings.SnapshotStandings(pb.SnapshotStandingsRequest())
    ]
    assert [(len(one.profiles), len(one.standings)) for one in messages] == [
        *[(500, 0)] * 9,
        *[(0, 500)] * 9,
        (0, 0),
    ]
    profiles, scores, _ = await snapshot(progress)
    assert sum(one.hidden for one in profiles.values()) == 642
    assert scores["xp", "", 1, ""] == {f"u{n}": n for n in range(1, 4_501)}


async def test_beyond_four_snapshots_at_once_callers_are_told_when_to_retry(
    progress: Progress,
) -> None:
    await progress.put_users("ann")
    await progress.settled()
    async with progress.sql() as sql:
        async with sql.transaction():
            # Every snapshot comes to a halt at its first table.
            await sql.execute("LOCK TABLE profiles IN ACCESS EXCLUSIVE MODE")
            calls = [asyncio.create_task(snapshot(progress)) for _ in range(4)]

            async def all_wait() -> bool:
                async with progress.sql() as other:
                    waiting = await other.fetchval(
                        """SELECT count(*) FROM pg_stat_activity
                           WHERE datname = current_database() AND wait_event_type = 'Lock'"""
                    )
                return bool(waiting == 4)

            await eventually(all_wait, "four snapshots are under way")
            async with refused(ResourceExhausted, "TOO_MANY_SNAPSHOTS") as errors:
                await snapshot(progress)
            assert errors[0].retry_delay_s
        for call in calls:
            assert list((await call)[0]) == ["ann"]
    assert list((await snapshot(progress))[0]) == ["ann"]


WINDOWS = {"xp": range(1, 6), "marks": [1], "pomodoros": range(1, 6), "reading": [1, 4]}


def periods(day: date) -> dict[int, str]:
    """The periods of a civil day, computed here."""
    year, week, _ = day.isocalendar()
    return {
        types_pb2.WINDOW_ALL_TIME: "",
        types_pb2.WINDOW_YEAR: str(day.year),
        types_pb2.WINDOW_MONTH: str(day)[:7],
        types_pb2.WINDOW_WEEK: f"{year}-W{week:02d}",
        types_pb2.WINDOW_DAY: str(day),
    }


@pytest.mark.parametrize("zone", ["UTC", "Asia/Jakarta", "America/St_Johns"])
async def test_the_boards_equal_an_independent_sum_of_the_ledger(
    postgres_url: str, zone: str
) -> None:
    settings = ProgressSettings(postgres_url=postgres_url, drain_seconds=0.5, timezone=zone)
    async with running_progress(settings) as progress:
        await fill(progress, random.Random(zone))
        expected: Scores = defaultdict(lambda: defaultdict(int))
        for n in range(8):
            for entry in await progress.entries(f"u{n}"):
                day = entry.occurred_time.ToDatetime(UTC).astimezone(ZoneInfo(zone)).date()
                for window, period in periods(day).items():
                    for course_id in {"", entry.course_id}:
                        if window in WINDOWS[entry.metric]:
                            name = (entry.metric, course_id, window, period)
                            expected[name][entry.user_id] += entry.amount
        await progress.settled()
        _, found, _ = await snapshot(progress)
        wanted = {
            name: {user: score for user, score in scores.items() if score}
            for name, scores in expected.items()
        }
        assert found == {name: scores for name, scores in wanted.items() if scores}
        assert len(found) > 100


async def fill(progress: Progress, chance: random.Random) -> None:
    """Awards and attempts at the edges of days, weeks and years, and some revocations."""
    await progress.put_users(*(f"u{n}" for n in range(8)))
    await progress.put_course("c", level("l1"), level("l2"))
    windows = [types_pb2.WINDOW_ALL_TIME, types_pb2.WINDOW_WEEK]
    metric = catalog.Metric(metric="reading", windows=windows)
    await progress.catalog.PutMetric(catalog.PutMetricRequest(metric=metric))
    edges = [datetime(2024, 12, 30, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC)]
    edges += [datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 3, 29, 12, tzinfo=UTC)]
    edges = [min(edge, datetime.now(UTC) - timedelta(days=30)) for edge in edges]

    def moment() -> datetime:
        return chance.choice(edges) + timedelta(minutes=chance.randint(-12_000, 12_000))

    awards = [
        award(
            f"u{chance.randrange(8)}",
            chance.randint(1, 50),
            metric=chance.choice(["xp", "pomodoros", "reading"]),
            course_id=chance.choice(["", "c"]),
            occurred_time=moment(),
        )
        for _ in range(400)
    ]
    batch = admin_pb2.ImportProgressRequest(awards=awards)
    async for answer in progress.admin.ImportProgress(iter([batch])):
        assert answer.recorded == 400
    for n in range(8):
        for correct in (3, 8):
            await progress.submit(f"u{n}", "l1", correct, occurred_time=moment())
        for entry in chance.sample(await progress.entries(f"u{n}"), 4):
            await progress.revoke(entry.entry_id)
