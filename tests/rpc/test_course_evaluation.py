"""Learners who were judged by an older version of a course, whenever they are looked at."""

import asyncio
from datetime import UTC, datetime, timedelta

from sqlalchemy import event

from shared.errors import FailedPrecondition
from shared.gen.laurel.progress.v1 import catalog_pb2 as catalog
from shared.gen.laurel.progress.v1 import progress_pb2 as pb
from tests.courses import jobs_done, jobs_held, judged_by, listed, ratio, statuses
from tests.progress import Progress, held, level, refused

SEQUENTIAL = catalog.UNLOCK_MODE_SEQUENTIAL
COMPLETED = pb.LEVEL_STATUS_COMPLETED
THEN = datetime(2024, 5, 1, 12, tzinfo=UTC)


async def test_a_submission_is_judged_by_the_edit_that_came_before_it(progress: Progress) -> None:
    await progress.put_users("ann")
    await progress.put_course("c", ratio("l1", 0.9), ratio("l2", 0.9), mode=SEQUENTIAL)
    await progress.submit("ann", "l1", 4, occurred_time=THEN)
    await progress.submit("ann", "l1", 6, occurred_time=THEN + timedelta(days=1))
    await progress.submit("ann", "l1", 7, occurred_time=THEN + timedelta(days=2))
    async with jobs_held(progress):
        await progress.put_course("c", ratio("l1", 0.5), ratio("l2", 0.9), mode=SEQUENTIAL)
        answer = await progress.submit("ann", "l2", 10)
        # l1 is completed by the edit, pays with its next passing submission, and opened l2.
        assert (answer.xp_earned, answer.course.levels_completed) == (50, 2)
        assert (answer.course.marks, answer.course.course_version) == (170, 2)
        assert await judged_by(progress, "ann") == 2
        found = await progress.course_progress("ann", "c")
        assert [one.status for one in found.levels] == [COMPLETED, COMPLETED]
        assert found.levels[0].xp_earned == 0
        completed = found.levels[0].complete_time.ToDatetime(UTC)
        assert completed == THEN + timedelta(days=1)
        assert (await progress.submit("ann", "l1", 4)).xp_earned == 0
        paid = await progress.submit("ann", "l1", 5)
        assert (paid.xp_earned, paid.status) == (50, COMPLETED)
        assert not paid.unlocked_level_ids
        assert (await progress.submit("ann", "l1", 5)).xp_earned == 0


async def test_a_failed_attempt_at_a_level_that_an_edit_completed_leaves_it_completed(
    progress: Progress,
) -> None:
    await progress.put_users("ann")
    await progress.put_course("c", ratio("l1", 0.9), level("l2"), mode=SEQUENTIAL)
    await progress.submit("ann", "l1", 6, occurred_time=THEN)
    async with jobs_held(progress):
        await progress.put_course("c", ratio("l1", 0.5), level("l2"), mode=SEQUENTIAL)
        answer = await progress.submit("ann", "l1", 1)
        assert (answer.status, answer.xp_earned) == (COMPLETED, 0)
        assert answer.course.levels_completed == 1
        found = (await progress.course_progress("ann", "c")).levels[0]
        assert found.complete_time.ToDatetime(UTC) == THEN


async def test_what_is_refused_stores_no_evaluation(progress: Progress) -> None:
    await progress.put_users("ann")
    await progress.put_course("c", ratio("l1", 0.9), level("l2"), mode=SEQUENTIAL)
    await progress.submit("ann", "l1", 6)
    async with jobs_held(progress):
        await progress.put_course("c", ratio("l1", 0.8), level("l2"), mode=SEQUENTIAL)
        async with refused(FailedPrecondition, "LEVEL_LOCKED"):
            await progress.submit("ann", "l2")
        assert await judged_by(progress, "ann") == 1


async def test_reading_one_learner_makes_the_evaluation_and_stores_it(progress: Progress) -> None:
    await progress.put_users("ann")
    await progress.put_course("c", ratio("l1", 0.9), level("l2"))
    await progress.submit("ann", "l1", 6, occurred_time=THEN)
    async with jobs_held(progress):
        await progress.put_course("c", ratio("l1", 0.5), level("l2"), level("l3"))
        first = await progress.course_progress("ann", "c")
        assert (first.course.levels_completed, first.course.levels_total) == (1, 3)
        assert first.levels[0].complete_time.ToDatetime(UTC) == THEN
        assert (await judged_by(progress, "ann"), first.course.course_version) == (2, 2)
        assert await progress.course_progress("ann", "c") == first
        assert (await progress.stats("ann")).levels_completed == 1


async def test_while_the_version_stands_no_attempt_is_looked_at(progress: Progress) -> None:
    await progress.put_users("ann")
    await progress.put_course("c", level("l1"), level("l2"))
    await progress.submit("ann", "l1")
    await progress.course_progress("ann", "c")
    async with progress.sql() as sql, sql.transaction():
        await sql.execute("LOCK TABLE attempts IN ACCESS EXCLUSIVE MODE")
        found = await progress.course_progress("ann", "c")
        assert (found.course.levels_completed, found.course.marks) == (1, 100)
        # The sums are those that were stored.
        await sql.execute("UPDATE course_progress SET marks = 99")
    assert (await progress.course_progress("ann", "c")).course.marks == 99
    assert (await listed(progress))[0].course.marks == 99


async def test_a_learner_whom_someone_holds_is_answered_at_once_and_stored_later(
    progress: Progress,
) -> None:
    await progress.put_users("ann")
    await progress.put_course("c", ratio("l1", 0.9))
    await progress.submit("ann", "l1", 6, occurred_time=THEN)
    async with jobs_held(progress):
        await progress.put_course("c", ratio("l1", 0.5))
        async with held(progress, "ann"):
            found = await progress.course_progress("ann", "c")
            assert (found.course.levels_completed, found.course.course_version) == (1, 2)
            assert found.levels[0].complete_time.ToDatetime(UTC) == THEN
            assert await judged_by(progress, "ann") == 1
        assert await progress.course_progress("ann", "c") == found
        assert await judged_by(progress, "ann") == 2


async def test_stats_count_completed_levels_by_the_current_versions(progress: Progress) -> None:
    await progress.put_users("ann")
    await progress.put_course("c", ratio("l1", 0.5), ratio("l2", 0.5), ratio("l3", 0.9))
    await progress.put_course("d", ratio("m1", 0.5))
    for level_id in ("l1", "l2", "l3", "m1"):
        await progress.submit("ann", level_id, 6)
    assert (await progress.stats("ann")).levels_completed == 3
    async with jobs_held(progress), held(progress, "ann"):
        for levels, completed in (
            ([ratio("l2", 0.5), ratio("l3", 0.9)], 2),  # l1 is gone
            ([ratio("l2", 0.5), ratio("l3", 0.5)], 3),  # l3 is easier
            ([ratio("l3", 0.9), ratio("l4", 0.9)], 2),  # l2 is gone, l3 stays completed
        ):
            await progress.put_course("c", *levels)
            assert (await progress.stats("ann")).levels_completed == completed
            found = await progress.course_progress("ann", "c")
            assert found.course.levels_completed == completed - 1
    await progress.course_progress("ann", "c")
    assert (await progress.stats("ann")).levels_completed == 2


async def test_a_list_answers_each_learner_by_the_current_version(progress: Progress) -> None:
    await progress.put_users("ann", "bob", "eve")
    await progress.put_course("c", ratio("l1", 0.9), level("l2"))
    for user_id, correct in (("ann", 6), ("bob", 4), ("eve", 10)):
        await progress.submit(user_id, "l1", correct, occurred_time=THEN)
    await progress.submit("eve", "l2")
    async with jobs_held(progress):
        await progress.put_course("c", ratio("l1", 0.5), level("l3"))
        found = await listed(progress)
        assert [(one.user_id, one.course.levels_completed) for one in found] == [
            ("ann", 1),
            ("bob", 0),
            ("eve", 1),
        ]
        assert {(one.course.course_version, one.course.levels_total) for one in found} == {(2, 2)}
        assert [one.course.marks for one in found] == [60, 40, 100]
        assert await judged_by(progress, "ann") == 1
        assert [(await progress.course_progress(one.user_id, "c")).course for one in found] == [
            one.course for one in found
        ]


async def test_what_a_version_completed_stays_so_however_late_it_is_noticed(
    progress: Progress,
) -> None:
    """As if every learner had been judged by each version the moment it came."""
    await progress.put_users("ann", "bob")
    await progress.put_course("c", ratio("l1", 0.9), ratio("l2", 0.9))
    for user_id in ("ann", "bob"):
        await progress.submit(user_id, "l1", 3, occurred_time=THEN)
        await progress.submit(user_id, "l1", 6, occurred_time=THEN + timedelta(days=1))
        await progress.submit(user_id, "l2", 6)
    async with jobs_held(progress):
        await progress.put_course("c", ratio("l1", 0.5), ratio("l2", 0.9))
        assert (await progress.course_progress("bob", "c")).course.levels_completed == 1
        await progress.put_course("c", ratio("l2", 0.6))
        await progress.put_course("c", ratio("l1", 0.2), ratio("l2", 0.9))
        await progress.put_course("c", ratio("l1", 0.9), ratio("l2", 0.9))
        async with held(progress, "ann"):
            unstored = await progress.course_progress("ann", "c")
        assert unstored.course.levels_completed == 2
        # Complete since the version that completed it: the attempt that passed by that one.
        first = unstored.levels[0].complete_time.ToDatetime(UTC)
        assert first == THEN + timedelta(days=1)
        assert await progress.course_progress("ann", "c") == unstored
        assert (await progress.course_progress("bob", "c")).course == unstored.course
        assert (await progress.submit("ann", "l1", 8)).xp_earned == 0
        assert (await progress.submit("ann", "l1", 9)).xp_earned == 50


async def test_two_who_ask_at_once_and_the_job_store_one_evaluation(progress: Progress) -> None:
    """However often it is made, it is the same, and a submission in between is in it."""
    users = [f"u{n}" for n in range(20)]
    await progress.put_users(*users)
    await progress.put_course("c", ratio("l1", 0.9), level("l2"))
    for user_id in users:
        await progress.submit(user_id, "l1", 6)
    await progress.put_course("c", ratio("l1", 0.5), level("l2"))
    await asyncio.gather(
        *(progress.course_progress(user_id, "c") for user_id in users * 2),
        *(progress.submit(user_id, "l2") for user_id in users),
    )
    await jobs_done(progress)
    found = await listed(progress)
    assert [one.course.levels_completed for one in found] == [2] * 20
    for user_id in users:
        assert await statuses(progress, user_id) == [COMPLETED, COMPLETED]


async def test_reading_stale_learners_waits_for_no_other_edit(progress: Progress) -> None:
    """Storing is a service to whoever comes next, never a price of reading."""
    await progress.put_users("ann", "bob")
    await progress.put_course("c", ratio("l1", 0.9))
    await progress.submit("ann", "l1", 6)
    async with jobs_held(progress):
        await progress.put_course("c", ratio("l1", 0.5))
        writes: list[str] = []
        engine = progress.app.database.engine.sync_engine

        def note(*args: object) -> None:
            if "FOR NO KEY UPDATE" in str(args[2]):
                writes.append(str(args[2]))

        event.listen(engine, "before_cursor_execute", note)
        try:
            await progress.course_progress("ann", "c")
            first = len(writes)
            await progress.course_progress("ann", "c")
        finally:
            event.remove(engine, "before_cursor_execute", note)
        assert (first, len(writes)) == (1, 1)
