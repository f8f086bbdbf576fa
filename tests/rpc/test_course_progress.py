"""GetCourseProgress and GetUserStats: where a learner stands."""

from datetime import UTC, date, datetime, timedelta

from google.protobuf.duration_pb2 import Duration

from progress_service.settings import ProgressSettings
from shared.errors import InvalidInput, NotFound
from shared.gen.laurel.progress.v1 import catalog_pb2 as catalog
from shared.gen.laurel.progress.v1 import progress_pb2 as pb
from shared.gen.laurel.types.v1 import types_pb2
from tests.conftest import running_progress
from tests.progress import Progress, eventually, level, refused

LOCKED = pb.LEVEL_STATUS_LOCKED
AVAILABLE = pb.LEVEL_STATUS_AVAILABLE
IN_PROGRESS = pb.LEVEL_STATUS_IN_PROGRESS
COMPLETED = pb.LEVEL_STATUS_COMPLETED


async def put_sections(progress: Progress, *sections: list[str]) -> None:
    course = catalog.Course(
        course_id="c",
        unlock_mode=catalog.UNLOCK_MODE_SEQUENTIAL,
        sections=[
            catalog.Section(section_id=f"s{n}", levels=[level(one) for one in levels])
            for n, levels in enumerate(sections)
        ],
    )
    await progress.catalog.PutCourse(catalog.PutCourseRequest(course=course))


async def test_every_level_and_section_has_a_status_from_the_start(progress: Progress) -> None:
    await progress.put_users("ann")
    await put_sections(progress, ["l1", "l2"], ["l3"])
    found = await progress.course_progress("ann", "c")
    assert [(one.level_id, one.status) for one in found.levels] == [
        ("l1", AVAILABLE),
        ("l2", LOCKED),
        ("l3", LOCKED),
    ]
    assert [(one.section_id, one.status, one.levels_total) for one in found.sections] == [
        ("s0", AVAILABLE, 2),
        ("s1", LOCKED, 1),
    ]
    assert found.course == pb.CourseSummary(
        course_id="c", course_version=1, levels_total=3, max_marks=300
    )
    assert not found.levels[0].HasField("complete_time")


async def test_statuses_follow_what_was_attempted_and_completed(progress: Progress) -> None:
    await progress.put_users("ann", "bob")
    await put_sections(progress, ["l1", "l2"], ["l3"])
    steps = []
    for level_id, correct in (("l1", 0), ("l1", 10), ("l2", 4), ("l2", 8), ("l3", 10)):
        await progress.submit("ann", level_id, correct)
        found = await progress.course_progress("ann", "c")
        steps.append(
            (
                [one.status for one in found.levels],
                [(one.status, one.levels_completed) for one in found.sections],
            )
        )
    assert steps == [
        ([IN_PROGRESS, LOCKED, LOCKED], [(IN_PROGRESS, 0), (LOCKED, 0)]),
        ([COMPLETED, AVAILABLE, LOCKED], [(IN_PROGRESS, 1), (LOCKED, 0)]),
        ([COMPLETED, IN_PROGRESS, LOCKED], [(IN_PROGRESS, 1), (LOCKED, 0)]),
        ([COMPLETED, COMPLETED, AVAILABLE], [(COMPLETED, 2), (AVAILABLE, 0)]),
        ([COMPLETED, COMPLETED, COMPLETED], [(COMPLETED, 2), (COMPLETED, 1)]),
    ]
    found = await progress.course_progress("ann", "c")
    assert (found.course.levels_completed, found.course.completion_ratio) == (3, 1.0)
    assert (found.course.marks, found.course.max_marks) == (280, 300)
    assert [one.level_id for one in found.levels] == ["l1", "l2", "l3"]
    assert (found.levels[1].attempts, found.levels[1].best_marks) == (2, 80)
    assert (await progress.course_progress("bob", "c")).course.levels_completed == 0


async def test_progress_is_judged_by_the_current_version(progress: Progress) -> None:
    await progress.put_users("ann")
    await put_sections(progress, ["l1", "l2", "l3"])
    await progress.submit("ann", "l1")
    await progress.submit("ann", "l2", 4)
    await put_sections(progress, ["l4", "l2", "l1"])
    found = await progress.course_progress("ann", "c")
    assert [(one.level_id, one.status) for one in found.levels] == [
        ("l4", AVAILABLE),
        ("l2", LOCKED),
        ("l1", COMPLETED),
    ]
    assert (found.course.course_version, found.course.levels_completed) == (2, 1)
    assert (found.course.marks, found.levels[1].best_marks) == (140, 40)


async def test_an_unknown_user_or_course_is_not_found(progress: Progress) -> None:
    await progress.put_users("ann")
    await put_sections(progress, ["l1"])
    async with refused(NotFound, "USER_NOT_FOUND"):
        await progress.course_progress("bob", "c")
    async with refused(NotFound, "COURSE_NOT_FOUND"):
        await progress.course_progress("ann", "d")
    for user_id, course_id, field in (("", "c", "user_id"), ("ann", "c d", "course_id")):
        async with refused(InvalidInput, "INVALID_FIELD") as errors:
            await progress.course_progress(user_id, course_id)
        assert [violation.field for violation in errors[0].violations] == [field]
    async with refused(NotFound, "USER_NOT_FOUND"):
        await progress.stats("bob")
    async with refused(InvalidInput, "INVALID_FIELD"):
        await progress.stats("")


def noon(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, 12, tzinfo=UTC)


async def test_stats_of_a_user_who_has_done_nothing_are_zero(progress: Progress) -> None:
    await progress.put_users("ann")
    stats = await progress.stats("ann")
    assert stats.user_id == "ann"
    assert list(stats.metrics) == [pb.MetricStats(metric="xp")]
    assert (stats.streak_days, stats.longest_streak_days, stats.last_active_date) == (0, 0, "")
    assert (stats.levels_completed, stats.streak_freezes) == (0, 0)


async def test_stats_sum_over_the_current_period_of_each_window(progress: Progress) -> None:
    await progress.put_users("ann")
    today = datetime.now(UTC).date()
    days = [today - timedelta(days=n) for n in (1, 3, 6, 8, 25, 40, 200, 400, 4_000)]
    for n, day in enumerate(days):
        await progress.award("ann", 2**n, occurred_time=noon(day))
    await progress.award("ann", 1_000)
    await progress.award("ann", 2_000)
    await progress.award("ann", 7, metric="pomodoros")
    await progress.settled()
    metrics = {one.metric: one for one in (await progress.stats("ann")).metrics}
    entries = [one for one in await progress.entries("ann") if one.metric == "xp"]
    earned = [(one.occurred_time.ToDatetime(UTC).date(), one.amount) for one in entries]
    today = max(day for day, _ in earned)
    assert metrics["xp"] == pb.MetricStats(
        metric="xp",
        all_time=sum(amount for _, amount in earned),
        year=sum(amount for day, amount in earned if day.year == today.year),
        month=sum(n for day, n in earned if (day.year, day.month) == (today.year, today.month)),
        week=sum(n for day, n in earned if day.isocalendar()[:2] == today.isocalendar()[:2]),
        day=sum(amount for day, amount in earned if day == today),
    )
    assert list(metrics) == ["pomodoros", "xp"]
    assert metrics["pomodoros"].day == 7


async def test_the_users_own_changes_are_in_the_stats_before_they_have_a_number(
    progress: Progress,
) -> None:
    await progress.put_users("ann", "bob")
    await progress.put_course("c", level("l1", max_marks=7))
    await progress.award("ann", 1)
    before = await progress.settled()
    async with progress.numbering_held():
        await progress.submit("ann", "l1")
        await progress.award("ann", 5, occurred_time=datetime(2014, 1, 1, tzinfo=UTC))
        old = await progress.award("bob", 5)
        await progress.revoke(old.entry_id)
        stats = await progress.stats("ann")
        assert stats.position == before
        assert [(one.metric, one.all_time, one.year, one.day) for one in stats.metrics] == [
            ("marks", 7, 0, 0),
            ("xp", 56, 51, 51),
        ]
        assert [one.all_time for one in (await progress.stats("bob")).metrics] == [0]
        # The boards hold what has a number, and say so.
        listed = await progress.standings.ListStandings(pb.ListStandingsRequest())
        assert [(one.user_id, one.score) for one in listed.standings] == [("ann", 1)]
        assert listed.position == before
    await progress.settled()
    after = await progress.stats("ann")
    assert after.metrics == stats.metrics
    assert after.position.sequence > before.sequence


async def test_a_hidden_user_has_stats_all_the_same(progress: Progress) -> None:
    user = catalog.User(user_id="ann", hidden=True)
    await progress.catalog.PutUser(catalog.PutUserRequest(user=user))
    await progress.award("ann", 5)
    await progress.settled()
    assert await progress.totals("ann") == {"xp": 5}
    assert await progress.top() == []


async def test_levels_completed_and_the_last_active_day_are_told(progress: Progress) -> None:
    await progress.put_users("ann")
    await progress.put_course("c", level("l1"), level("l2"))
    await progress.put_course("d", level("m1"))
    for level_id, correct in (("l1", 10), ("l2", 0), ("m1", 10)):
        await progress.submit(
            "ann",
            level_id,
            correct,
            occurred_time=datetime(2014, 2, 3, 23, 30, tzinfo=UTC),
            time_spent=Duration(seconds=5),
        )
    stats = await progress.stats("ann")
    assert (stats.levels_completed, stats.last_active_date) == (2, "2014-02-03")
    assert (stats.streak_days, stats.longest_streak_days) == (0, 1)
    zone = catalog.User(user_id="ann", time_zone="Asia/Jakarta")
    await progress.catalog.PutUser(catalog.PutUserRequest(user=zone))
    await progress.submit("ann", "l1", occurred_time=datetime(2014, 2, 3, 23, 30, tzinfo=UTC))
    stats = await progress.stats("ann")
    # The zone holds from now on; that moment keeps the one that the user had then.
    assert (stats.last_active_date, stats.longest_streak_days) == ("2014-02-03", 1)


async def test_a_level_that_left_its_course_is_not_counted_as_completed(
    progress: Progress,
) -> None:
    await progress.put_users("ann")
    await progress.put_course("c", level("l1"), level("l2"))
    for level_id in ("l1", "l2"):
        await progress.submit("ann", level_id)
    assert (await progress.stats("ann")).levels_completed == 2
    await progress.put_course("c", level("l2"))

    async def judged_again() -> bool:
        return (await progress.stats("ann")).levels_completed == 1

    await eventually(judged_again, "the level has left the count")


async def test_windows_are_civil_dates_of_the_deployments_zone(postgres_url: str) -> None:
    settings = ProgressSettings(
        postgres_url=postgres_url, drain_seconds=0.5, timezone="Asia/Jakarta"
    )
    async with running_progress(settings) as progress:
        await progress.put_users("ann", "bob")
        for user_id, hour in (("ann", 16), ("bob", 17)):
            moment = datetime(2026, 12, 31, hour, 59, tzinfo=UTC) - timedelta(days=365)
            await progress.award(user_id, 5, occurred_time=moment)
        day = types_pb2.WINDOW_DAY
        assert await progress.top(window=day, period="2025-12-31") == [(1, "ann", 5)]
        assert await progress.top(window=day, period="2026-01-01") == [(1, "bob", 5)]
        year = types_pb2.WINDOW_YEAR
        assert await progress.top(window=year, period="2025") == [(1, "ann", 5)]
        assert await progress.top(window=year, period="2026") == [(1, "bob", 5)]

        async def in_both() -> bool:
            await progress.award("bob", 1)
            now = datetime.now(settings.zone).date().isoformat()
            current = await progress.top(window=day)
            return current == await progress.top(window=day, period=now)

        await eventually(in_both, "the current day is that of the zone")
