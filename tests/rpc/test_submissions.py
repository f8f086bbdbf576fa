"""SubmitProgress: what is recorded, completed and paid."""

from datetime import UTC, datetime, timedelta

from google.protobuf.duration_pb2 import Duration

from progress_service.domain.bounds import MAX_SCORE
from shared.errors import Conflict, FailedPrecondition
from shared.gen.laurel.progress.v1 import catalog_pb2 as catalog
from shared.gen.laurel.progress.v1 import progress_pb2 as pb
from tests.progress import Progress, level, refused

COMPLETED = pb.LEVEL_STATUS_COMPLETED
IN_PROGRESS = pb.LEVEL_STATUS_IN_PROGRESS


def waiting(level_id: str, *required: str) -> catalog.Level:
    return level(level_id, prerequisite_level_ids=required)


async def test_a_level_pays_its_xp_once(progress: Progress) -> None:
    await progress.put_users("ann")
    await progress.put_course("c", level("l1"))
    first = await progress.submit("ann", "l1", request_id="a")
    again = await progress.submit("ann", "l1", request_id="b")
    assert (first.xp_earned, first.total_xp, first.status) == (50, 50, COMPLETED)
    assert (again.xp_earned, again.total_xp, again.status) == (0, 50, COMPLETED)
    assert await progress.top() == [(1, "ann", 50)]


async def test_a_request_id_is_answered_again_and_refused_with_other_contents(
    progress: Progress,
) -> None:
    await progress.put_users("ann", "bob")
    await progress.put_course("c", level("l1"), level("l2"))
    first = await progress.submit("ann", "l1", 7, request_id="a")
    await progress.submit("ann", "l1", 10, request_id="b")
    again = await progress.submit("ann", "l1", 7, request_id="a")
    assert (first.replayed, again.replayed) == (False, True)
    again.replayed = False
    assert again.SerializeToString(deterministic=True) == first.SerializeToString(
        deterministic=True
    )
    for other in (
        progress.submit("ann", "l1", 8, request_id="a"),
        progress.submit("ann", "l2", 7, request_id="a"),
        progress.submit("ann", "l1", 7, 11, request_id="a"),
        progress.submit("ann", "l1", 7, request_id="a", time_spent=Duration(seconds=1)),
        progress.award("ann", 7, request_id="a"),
    ):
        async with refused(Conflict, "REQUEST_ID_REUSED") as caught:
            await other
        assert caught[0].metadata == {"request_id": "a"}
    assert len(await progress.attempts(user_id="ann")) == 2
    await progress.submit("bob", "l1", 8, request_id="a")


async def test_a_replay_tells_what_was_then_even_after_the_course_was_edited(
    progress: Progress,
) -> None:
    await progress.put_users("ann")
    await progress.put_course("c", level("l1"), level("l2"))
    first = await progress.submit("ann", "l1", request_id="a")
    await progress.put_course("c", level("l2"))
    again = await progress.submit("ann", "l1", request_id="a")
    assert again.course == first.course
    assert again.replayed


async def test_the_answer_says_all_that_the_attempt_brought(progress: Progress) -> None:
    await progress.put_users("ann")
    sequential = catalog.UNLOCK_MODE_SEQUENTIAL
    await progress.put_course("c", level("l1"), level("l2"), level("l3"), mode=sequential)
    answer = await progress.submit("ann", "l1", 7)
    assert (answer.level_id, answer.correct_answers, answer.total_questions) == ("l1", 7, 10)
    assert (answer.marks, answer.best_marks, answer.xp_earned, answer.total_xp) == (70, 70, 50, 50)
    assert list(answer.unlocked_level_ids) == ["l2"]
    assert (answer.status, answer.streak_days, answer.under_review) == (COMPLETED, 1, False)
    assert answer.course == pb.CourseSummary(
        course_id="c",
        course_version=1,
        levels_completed=1,
        levels_total=3,
        completion_ratio=1 / 3,
        marks=70,
        max_marks=300,
    )
    (attempt,) = await progress.attempts(user_id="ann")
    assert attempt.attempt_id == answer.attempt_id


async def test_an_attempt_that_fails_records_marks_and_pays_no_xp(progress: Progress) -> None:
    await progress.put_users("ann")
    await progress.put_course("c", level("l1"), level("l2"), mode=catalog.UNLOCK_MODE_SEQUENTIAL)
    failed = await progress.submit("ann", "l1", 4)
    assert (failed.status, failed.xp_earned, failed.marks) == (IN_PROGRESS, 0, 40)
    assert list(failed.unlocked_level_ids) == []
    assert failed.course.levels_completed == 0
    passed = await progress.submit("ann", "l1", 5)
    assert (passed.status, passed.xp_earned, list(passed.unlocked_level_ids)) == (
        COMPLETED,
        50,
        ["l2"],
    )


async def test_best_marks_are_kept_and_credited_by_the_difference(progress: Progress) -> None:
    await progress.put_users("ann")
    await progress.put_course("c", level("l1", max_marks=15))
    answers = [await progress.submit("ann", "l1", correct) for correct in (3, 1, 7, 7, 10, 0)]
    # 4.5, 1.5 and 10.5 are rounded half up.
    assert [answer.marks for answer in answers] == [5, 2, 11, 11, 15, 0]
    assert [answer.best_marks for answer in answers] == [5, 5, 11, 11, 15, 15]
    assert [answer.course.marks for answer in answers] == [5, 5, 11, 11, 15, 15]
    marks = [one.amount for one in await progress.entries("ann") if one.metric == "marks"]
    assert marks == [4, 6, 5]
    assert (await progress.totals("ann"))["marks"] == 15
    assert await progress.top(metric="marks") == [(1, "ann", 15)]
    assert await progress.top(metric="marks", course_id="c") == [(1, "ann", 15)]


async def test_attempts_and_time_add_up_and_a_passed_level_stays_completed(
    progress: Progress,
) -> None:
    await progress.put_users("ann")
    await progress.put_course("c", level("l1"))
    first = datetime(2026, 3, 1, 10, tzinfo=UTC)
    for n, correct in enumerate((2, 9, 0)):
        spent = Duration(seconds=n, nanos=500_000_000)
        await progress.submit(
            "ann", "l1", correct, time_spent=spent, occurred_time=first + timedelta(hours=n)
        )
    (found,) = (await progress.course_progress("ann", "c")).levels
    assert (found.status, found.attempts, found.best_marks, found.xp_earned) == (
        COMPLETED,
        3,
        90,
        50,
    )
    assert found.time_spent == Duration(seconds=4, nanos=500_000_000)
    assert found.complete_time.ToDatetime(UTC) == first + timedelta(hours=1)


async def test_rewards_in_other_metrics_are_credited_with_the_xp_once(progress: Progress) -> None:
    await progress.put_users("ann")
    rewards = [
        catalog.MetricReward(metric="problems_solved", amount=1),
        catalog.MetricReward(metric="pomodoros", amount=3),
    ]
    await progress.put_course("c", level("l1", rewards=rewards, max_marks=0))
    await progress.submit("ann", "l1", 0)
    assert await progress.entries("ann") == []
    for _ in range(3):
        await progress.submit("ann", "l1", 10)
    assert await progress.totals("ann") == {"xp": 50, "problems_solved": 1, "pomodoros": 3}
    entries = await progress.entries("ann")
    assert {
        (one.metric, one.amount, one.source, one.course_id, one.level_id) for one in entries
    } == {
        ("xp", 50, "level", "c", "l1"),
        ("problems_solved", 1, "level", "c", "l1"),
        ("pomodoros", 3, "level", "c", "l1"),
    }
    assert await progress.top(metric="pomodoros", course_id="c") == [(1, "ann", 3)]


async def test_a_sequential_course_opens_level_by_level(progress: Progress) -> None:
    await progress.put_users("ann")
    levels = [level(f"l{n}") for n in range(3)]
    await progress.put_course("c", *levels, mode=catalog.UNLOCK_MODE_SEQUENTIAL)
    async with refused(FailedPrecondition, "LEVEL_LOCKED") as caught:
        await progress.submit("ann", "l2")
    assert caught[0].metadata["missing_level_ids"] == "l1"
    assert caught[0].metadata["level_id"] == "l2"
    assert await progress.attempts(user_id="ann") == []
    opened = [list((await progress.submit("ann", f"l{n}")).unlocked_level_ids) for n in range(3)]
    assert opened == [["l1"], ["l2"], []]


async def test_a_level_waits_for_all_of_its_prerequisites(progress: Progress) -> None:
    await progress.put_users("ann")
    await progress.put_course(
        "c",
        waiting("top", "left", "right"),
        level("left"),
        waiting("right", "left"),
        waiting("side", "left"),
        mode=catalog.UNLOCK_MODE_PREREQUISITES,
    )
    async with refused(FailedPrecondition, "LEVEL_LOCKED") as caught:
        await progress.submit("ann", "top")
    assert caught[0].metadata["missing_level_ids"] == "left,right"
    assert list((await progress.submit("ann", "left")).unlocked_level_ids) == ["right", "side"]
    async with refused(FailedPrecondition, "LEVEL_LOCKED") as caught:
        await progress.submit("ann", "top")
    assert caught[0].metadata["missing_level_ids"] == "right"
    assert list((await progress.submit("ann", "right")).unlocked_level_ids) == ["top"]
    assert (await progress.submit("ann", "top")).course.levels_completed == 3


async def test_in_an_open_course_no_level_waits(progress: Progress) -> None:
    await progress.put_users("ann")
    await progress.put_course("c", level("l1"), waiting("l2", "l1"))
    answer = await progress.submit("ann", "l2")
    assert (answer.status, list(answer.unlocked_level_ids)) == (COMPLETED, [])


async def test_an_archived_course_takes_no_submissions_and_still_shows_progress(
    progress: Progress,
) -> None:
    await progress.put_users("ann")
    await progress.put_course("c", level("l1"))
    await progress.submit("ann", "l1", request_id="a")
    found = await progress.catalog.GetCourse(catalog.GetCourseRequest(course_id="c"))
    found.course.archived = True
    await progress.catalog.PutCourse(catalog.PutCourseRequest(course=found.course))
    async with refused(FailedPrecondition, "COURSE_ARCHIVED") as caught:
        await progress.submit("ann", "l1")
    assert caught[0].metadata == {"course_id": "c"}
    assert (await progress.submit("ann", "l1", request_id="a")).replayed
    assert (await progress.course_progress("ann", "c")).course.levels_completed == 1


async def test_a_total_beyond_the_largest_refuses_the_whole_submission(progress: Progress) -> None:
    await progress.put_users("ann")
    await progress.put_course("c", level("l1"))
    await progress.award("ann", MAX_SCORE - 49)
    async with refused(FailedPrecondition, "TOTAL_TOO_LARGE") as caught:
        await progress.submit("ann", "l1", request_id="a")
    assert caught[0].metadata == {"metric": "xp", "total": str(MAX_SCORE - 49)}
    assert await progress.attempts(user_id="ann") == []
    assert await progress.totals("ann") == {"xp": MAX_SCORE - 49}
    (entry,) = await progress.entries("ann")
    await progress.revoke(entry.entry_id)
    assert (await progress.submit("ann", "l1", request_id="a")).total_xp == 50


async def test_sums_are_right_by_the_version_that_is_current_at_each_submission(
    progress: Progress,
) -> None:
    await progress.put_users("ann")
    await progress.put_course("c", level("l1"), level("l2"), level("l3"))
    await progress.submit("ann", "l1", 10)
    await progress.submit("ann", "l2", 8)
    # l1 goes, l4 comes, and l2 is worth more from now on.
    await progress.put_course("c", level("l2", max_marks=200), level("l3"), level("l4"))
    answer = await progress.submit("ann", "l3", 6)
    assert answer.course == pb.CourseSummary(
        course_id="c",
        course_version=2,
        levels_completed=2,
        levels_total=3,
        completion_ratio=2 / 3,
        marks=80 + 60,
        max_marks=400,
    )
    better = await progress.submit("ann", "l2", 9)
    assert (better.best_marks, better.course.marks) == (180, 180 + 60)
    assert (await progress.course_progress("ann", "c")).course == better.course
    # What was earned with l1 stays, and l1 comes back completed and paid.
    await progress.put_course("c", level("l1"), level("l2", max_marks=200))
    again = await progress.submit("ann", "l1", 10)
    assert (again.xp_earned, again.total_xp, again.course.levels_completed) == (0, 150, 2)
    assert (again.course.marks, again.course.course_version) == (100 + 180, 3)


async def test_a_streak_counts_the_users_own_days(progress: Progress) -> None:
    await progress.put_course("c", level("l1"))
    now = datetime.now(UTC)
    for user_id, zone in (("a", ""), ("b", "Pacific/Kiritimati"), ("c", "Pacific/Pago_Pago")):
        user = catalog.User(user_id=user_id, time_zone=zone)
        await progress.catalog.PutUser(catalog.PutUserRequest(user=user))
        streaks = []
        for days in (0, 2, 1, 1, 5):
            then = now - timedelta(days=days)
            answer = await progress.submit(user_id, "l1", occurred_time=then)
            streaks.append(answer.streak_days)
        assert streaks == [1, 1, 3, 3, 3], zone
        stats = await progress.stats(user_id)
        assert (stats.streak_days, stats.longest_streak_days) == (3, 3)
