"""ResetWindow: a board's period starts again from zero, as a fact in the history."""

import asyncio
import random
from datetime import UTC, datetime, timedelta
from typing import Any

from progress_service.settings import ProgressSettings
from shared.gen.laurel.progress.v1 import catalog_pb2 as catalog
from shared.gen.laurel.progress.v1 import progress_pb2 as pb
from shared.gen.laurel.types.v1 import types_pb2
from tests.conftest import running_progress
from tests.history_fold import check, fold, watched
from tests.progress import Progress, award, level

WEEK: dict[str, Any] = {"window": types_pb2.WINDOW_WEEK, "period": "2026-W10"}
EARNED = datetime(2026, 3, 4, 12, tzinfo=UTC)


async def last_change(progress: Progress) -> pb.Change:
    head = await progress.settled()
    return (await watched(progress, head.sequence))[-1]


async def hide(progress: Progress, user_id: str, *, hidden: bool = True) -> None:
    user = catalog.User(user_id=user_id, hidden=hidden)
    await progress.catalog.PutUser(catalog.PutUserRequest(user=user))


async def test_a_reset_empties_one_period_of_one_board_and_no_other(progress: Progress) -> None:
    await progress.put_users("ann", "bob")
    for user_id, amount in (("ann", 5), ("bob", 7)):
        await progress.award(user_id, amount, occurred_time=EARNED)
        await progress.award(user_id, amount, occurred_time=EARNED - timedelta(days=7))
    position = await progress.reset("q1", **WEEK)
    assert position == await progress.settled()
    assert await progress.top(**WEEK) == []
    assert await progress.top(window=types_pb2.WINDOW_WEEK, period="2026-W09") == [
        (1, "bob", 7),
        (2, "ann", 5),
    ]
    assert await progress.top() == [(1, "bob", 14), (2, "ann", 10)]
    await progress.award("ann", 1, occurred_time=EARNED)
    assert await progress.top(**WEEK) == [(1, "ann", 1)]
    assert await progress.top() == [(1, "bob", 14), (2, "ann", 11)]
    await check(progress)


async def test_a_reset_is_sent_with_its_period_spelled_out(postgres_url: str) -> None:
    settings = ProgressSettings(postgres_url=postgres_url, drain_seconds=0.5)
    async with running_progress(settings, lambda: EARNED) as progress:
        position = await progress.reset("q1", window=types_pb2.WINDOW_WEEK)
        change = await last_change(progress)
        assert change.sequence == position.sequence
        assert change.window_reset == pb.WindowReset(board=types_pb2.Board(metric="xp", **WEEK))


async def test_hidden_users_return_with_what_they_earned_since_the_reset(
    progress: Progress,
) -> None:
    await progress.put_users("ann", "eve")
    await progress.award("ann", 5)
    await progress.award("eve", 7)
    await hide(progress, "eve")
    await progress.reset("q1")
    await progress.award("eve", 2)
    await hide(progress, "eve", hidden=False)
    assert await progress.top() == [(1, "eve", 2)]
    await check(progress)


async def test_a_late_revocation_of_an_entry_from_before_leaves_the_reset_board_alone(
    progress: Progress,
) -> None:
    await progress.put_users("ann")
    before = await progress.award("ann", 10, occurred_time=EARNED)
    await progress.reset("q1", **WEEK)
    since = await progress.award("ann", 3, occurred_time=EARNED)
    await progress.revoke(before.entry_id)
    change = await last_change(progress)
    assert list(change.xp_delta.excluded_boards) == [types_pb2.Board(metric="xp", **WEEK)]
    assert await progress.top(**WEEK) == [(1, "ann", 3)]
    assert await progress.top() == [(1, "ann", 3)]
    await progress.revoke(since.entry_id)
    change = await last_change(progress)
    assert list(change.xp_delta.excluded_boards) == []
    assert await progress.top(**WEEK) == []
    assert await progress.top() == []
    await check(progress)


async def test_of_several_resets_those_since_the_cancelled_entry_count(progress: Progress) -> None:
    await progress.put_users("ann")
    entries = []
    for n in range(3):
        entries.append(await progress.award("ann", 10**n, occurred_time=EARNED))
        await progress.reset(f"a{n}", **WEEK)
        await progress.reset(f"b{n}", window=types_pb2.WINDOW_MONTH, period=f"2026-0{n + 1}")
    last = await progress.award("ann", 1000, occurred_time=EARNED)
    excluded = []
    for one in (*entries, last):
        await progress.revoke(one.entry_id)
        change = await last_change(progress)
        excluded.append(sorted(board.period for board in change.xp_delta.excluded_boards))
    # March was reset last of all three, after the third entry.
    assert excluded == [["2026-03", "2026-W10"]] * 3 + [[]]
    assert await progress.top(**WEEK) == []
    assert await progress.top(window=types_pb2.WINDOW_MONTH, period="2026-03") == []
    assert await progress.top() == []
    await check(progress)


async def test_a_board_can_be_reset_before_anyone_is_on_it(progress: Progress) -> None:
    await progress.put_users("ann")
    await progress.reset("q1", **WEEK)
    entry = await progress.award("ann", 5, occurred_time=EARNED)
    assert await progress.top(**WEEK) == [(1, "ann", 5)]
    await progress.revoke(entry.entry_id)
    assert await progress.top(**WEEK) == []
    await check(progress)


async def test_course_boards_are_reset_one_by_one(progress: Progress) -> None:
    await progress.put_users("ann")
    await progress.put_course("c", level("l1", max_marks=0))
    await progress.submit("ann", "l1")
    await progress.reset("q1", course_id="c")
    assert await progress.top(course_id="c") == []
    assert await progress.top() == [(1, "ann", 50)]
    await progress.award("ann", 1, course_id="c")
    assert await progress.top(course_id="c") == [(1, "ann", 1)]
    await check(progress)


async def test_a_board_of_a_window_that_the_metric_does_not_keep_any_more_can_be_reset(
    progress: Progress,
) -> None:
    await progress.put_users("ann")
    windows: list[types_pb2.Window.ValueType] = [
        types_pb2.WINDOW_WEEK,
        types_pb2.WINDOW_ALL_TIME,
    ]
    for kept in (windows, windows[1:]):
        metric = catalog.Metric(metric="coins", title="Coins", windows=kept)
        await progress.catalog.PutMetric(catalog.PutMetricRequest(metric=metric))
        await progress.award("ann", 5, metric="coins", occurred_time=EARNED)
    assert await progress.top(metric="coins", **WEEK) == [(1, "ann", 5)]
    await progress.reset("q1", metric="coins", **WEEK)
    assert await progress.top(metric="coins", **WEEK) == []
    assert await progress.top(metric="coins") == [(1, "ann", 10)]
    await check(progress)


async def test_stats_follow_the_boards_without_a_course(progress: Progress) -> None:
    await progress.put_users("ann")
    await progress.award("ann", 5)
    await progress.reset("q1", window=types_pb2.WINDOW_DAY)
    await progress.award("ann", 2)
    (xp,) = (await progress.stats("ann")).metrics
    assert (xp.all_time, xp.day) == (7, 2)
    # The total in the ledger is no board.
    assert (await progress.award("ann", 1)).total == 8


async def test_a_watcher_at_any_position_comes_to_the_boards_of_the_head(
    progress: Progress,
) -> None:
    await progress.put_users("ann", "bob")
    first = await progress.award("ann", 5, occurred_time=EARNED)
    await progress.award("bob", 6, occurred_time=EARNED)
    await progress.reset("q1", **WEEK)
    await progress.revoke(first.entry_id)
    await progress.award("bob", 1, occurred_time=EARNED)
    head = await progress.settled()
    changes = await watched(progress, head.sequence)
    whole = await check(progress)
    for part in range(head.sequence):
        after = types_pb2.Position(epoch=head.epoch, sequence=part)
        rest = await watched(progress, head.sequence, after)
        assert fold(rest, into=fold(changes[:part])) == whole


USERS = [f"u{n}" for n in range(8)]

BOARDS: list[dict[str, Any]] = [WEEK, {}, {"course_id": "c"}, {**WEEK, "course_id": "c"}]


class Crowd:
    """Everyone at once, in an order of chance."""

    def __init__(self, progress: Progress, seed: int) -> None:
        self._progress = progress
        self._random = random.Random(seed)

    async def run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            for user_id in USERS:
                tasks.create_task(self._earn(user_id))
            for name in ("a", "b"):
                tasks.create_task(self._reset(name))
            tasks.create_task(self._hide())

    async def _earn(self, user_id: str) -> None:
        chance = self._random
        entries: list[str] = []
        for _ in range(40):
            if entries and chance.random() < 0.4:
                await self._progress.revoke(entries.pop(chance.randrange(len(entries))))
                continue
            request = award(
                user_id,
                chance.randint(1, 90),
                occurred_time=EARNED + timedelta(days=chance.choice([0, 7])),
                course_id=chance.choice(["", "c"]),
            )
            entries.append((await self._progress.progress.AwardXp(request)).entry_id)

    async def _reset(self, name: str) -> None:
        for n in range(15):
            await self._progress.reset(f"{name}{n}", **self._random.choice(BOARDS))

    async def _hide(self) -> None:
        for n in range(20):
            await hide(self._progress, self._random.choice(USERS), hidden=n % 2 == 0)


async def test_resets_among_writers_leave_the_boards_that_the_history_tells(
    postgres_url: str,
) -> None:
    settings = ProgressSettings(postgres_url=postgres_url, drain_seconds=0.5, sequencer_batch=100)
    async with running_progress(settings) as progress:
        await progress.put_users(*USERS)
        await progress.put_course("c", level("l1"))
        await Crowd(progress, seed=20).run()
        head = await progress.settled()
        changes = await watched(progress, head.sequence)
        await check(progress)
    assert sum(change.HasField("window_reset") for change in changes) == 30
    assert sum(change.HasField("xp_delta") for change in changes) == 320
    assert any(change.xp_delta.excluded_boards for change in changes)
    # At no position is a score below zero.
    folded = fold([])
    for change in changes:
        folded.apply(change)
        assert all(score >= 0 for scores in folded.scores.values() for score in scores.values())
