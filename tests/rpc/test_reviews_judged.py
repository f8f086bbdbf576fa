"""What an accepted attempt comes to when course, level or ledger have changed while it waited."""

from datetime import timedelta

import pytest

from shared.errors import FailedPrecondition
from shared.gen.laurel.progress.v1 import catalog_pb2 as catalog
from shared.gen.laurel.progress.v1 import progress_pb2 as pb
from tests.audit import backfill, verified
from tests.courses import jobs_done, jobs_held, listed, recalculate
from tests.progress import Progress, refused
from tests.review_scene import THEN, prepared, quick, slow, timed

DAY = timedelta(days=1)


async def level_of(progress: Progress, level_id: str = "l1") -> pb.LevelProgress:
    found = (await progress.course_progress("ann", "c")).levels
    return next(one for one in found if one.level_id == level_id)


async def edit(progress: Progress, *levels: catalog.Level, archived: bool = False) -> None:
    section = catalog.Section(section_id="s", title="S", levels=levels)
    course = catalog.Course(
        course_id="c",
        title="c",
        unlock_mode=catalog.UNLOCK_MODE_SEQUENTIAL,
        sections=[section],
        archived=archived,
    )
    await progress.catalog.PutCourse(catalog.PutCourseRequest(course=course))


async def test_it_is_judged_by_the_present_version(progress: Progress) -> None:
    await prepared(progress)
    failing = (await quick(progress, correct=4)).attempt_id
    passing = (await quick(progress, correct=6)).attempt_id
    harder = timed("l1", pass_ratio=0.7, max_marks=10)
    await edit(progress, harder, timed("l2"))
    assert (await progress.resolve(passing, accept=True)).marks == 6
    found = await level_of(progress)
    assert (found.status, found.best_marks, found.xp_earned) == (
        pb.LEVEL_STATUS_IN_PROGRESS,
        6,
        0,
    )
    await edit(progress, timed("l1", pass_ratio=0.2), timed("l2"))
    await progress.resolve(failing, accept=True)
    found = await level_of(progress)
    # The edit has completed the level; the next that passes is paid.
    assert (found.status, found.xp_earned) == (pb.LEVEL_STATUS_COMPLETED, 50)
    await verified(progress)


async def test_an_edit_completes_nothing_by_an_attempt_under_review(progress: Progress) -> None:
    await prepared(progress)
    await slow(progress, correct=2)
    doubted = (await quick(progress, correct=4)).attempt_id
    await edit(progress, timed("l1", pass_ratio=0.4), timed("l2"))
    async for _ in recalculate(progress):
        pass
    assert (await level_of(progress)).status == pb.LEVEL_STATUS_IN_PROGRESS
    await progress.resolve(doubted, accept=True)
    assert (await level_of(progress)).status == pb.LEVEL_STATUS_COMPLETED
    await verified(progress)


@pytest.mark.parametrize("accepted", [True, False])
async def test_an_edit_completes_by_the_first_attempt_that_counted(
    progress: Progress, accepted: bool
) -> None:
    await prepared(progress)
    doubted = (await quick(progress, correct=4)).attempt_id
    await slow(progress, correct=4, occurred_time=THEN + DAY)
    if accepted:
        await progress.resolve(doubted, accept=True)
    await edit(progress, timed("l1", pass_ratio=0.4), timed("l2"))
    await jobs_done(progress)
    found = await level_of(progress)
    assert found.complete_time.ToDatetime(THEN.tzinfo) == THEN + DAY
    async with progress.sql() as sql:
        passed = await sql.fetchval("SELECT count(*) FROM attempts WHERE passed")
    assert passed == 1 + accepted


async def test_what_is_derived_anew_leaves_out_what_is_under_review(progress: Progress) -> None:
    await prepared(progress)
    await slow(progress, occurred_time=THEN)
    withdrawn = (await slow(progress, occurred_time=THEN + DAY)).attempt_id
    await quick(progress, occurred_time=THEN + 2 * DAY)
    await progress.void(withdrawn)
    assert (await progress.stats("ann")).last_active_date == f"{THEN:%Y-%m-%d}"
    (learner,) = await listed(progress)
    assert learner.last_attempt_time.ToDatetime(THEN.tzinfo) == THEN


@pytest.mark.parametrize("accepted_first", [True, False])
async def test_an_evaluation_that_is_due_comes_out_the_same_before_and_after(
    progress: Progress, accepted_first: bool
) -> None:
    await prepared(progress)
    await slow(progress, correct=4, occurred_time=THEN)
    doubted = (await quick(progress, correct=6)).attempt_id
    async with jobs_held(progress):
        await edit(progress, timed("l1", pass_ratio=0.4), timed("l2"))
        if not accepted_first:
            assert (await level_of(progress)).status == pb.LEVEL_STATUS_COMPLETED
        await progress.resolve(doubted, accept=True)
        found = await progress.course_progress("ann", "c")
        assert (found.course.course_version, found.course.levels_completed) == (2, 1)
        assert found.levels[0].complete_time.ToDatetime(THEN.tzinfo) == THEN
        assert (found.levels[0].xp_earned, found.levels[1].status) == (
            50,
            pb.LEVEL_STATUS_AVAILABLE,
        )
    await verified(progress)


async def test_an_attempt_under_review_leaves_a_stale_evaluation_to_others(
    progress: Progress,
) -> None:
    await prepared(progress)
    await slow(progress, correct=4)
    async with jobs_held(progress):
        await edit(progress, timed("l1", pass_ratio=0.4), timed("l2"))
        answer = await quick(progress)
        assert (answer.status, answer.course.levels_completed) == (pb.LEVEL_STATUS_COMPLETED, 1)
        assert answer.course.course_version == 2
        async with progress.sql() as sql:
            assert not await sql.fetchval("SELECT count(complete_time) FROM level_progress")
    assert (await progress.stats("ann")).levels_completed == 1
    await verified(progress)


async def test_a_course_that_was_archived_since_still_counts_it(progress: Progress) -> None:
    await prepared(progress)
    doubted = (await quick(progress)).attempt_id
    await edit(progress, timed("l1"), timed("l2"), archived=True)
    await progress.resolve(doubted, accept=True)
    assert (await level_of(progress)).xp_earned == 50
    await verified(progress)


async def test_a_level_that_was_locked_since_still_counts_it(progress: Progress) -> None:
    await prepared(progress)
    doubted = (await quick(progress)).attempt_id
    await edit(progress, timed("l0"), timed("l1"), timed("l2"))
    assert (await level_of(progress)).status == pb.LEVEL_STATUS_LOCKED
    await progress.resolve(doubted, accept=True)
    assert (await level_of(progress)).status == pb.LEVEL_STATUS_COMPLETED
    assert (await level_of(progress, "l2")).status == pb.LEVEL_STATUS_AVAILABLE
    await verified(progress)


async def test_a_level_that_was_dropped_since_is_paid_and_leaves_the_completion(
    progress: Progress,
) -> None:
    await prepared(progress)
    doubted = (await quick(progress, correct=8)).attempt_id
    await edit(progress, timed("l1", max_marks=50), timed("l2"))
    await edit(progress, timed("l2"))
    attempt = await progress.resolve(doubted, accept=True)
    # As the last version that had the level says.
    assert attempt.marks == 40
    assert await progress.totals("ann") == {"xp": 50, "marks": 40, "problems_solved": 2}
    found = (await progress.course_progress("ann", "c")).course
    assert (found.levels_completed, found.marks, found.course_version) == (0, 0, 3)
    await verified(progress)
    await edit(progress, timed("l1"), timed("l2"))
    found = (await progress.course_progress("ann", "c")).course
    assert (found.levels_completed, found.marks) == (1, 40)
    assert (await slow(progress, correct=8)).xp_earned == 0


async def test_a_reward_that_was_revoked_is_not_paid_again(progress: Progress) -> None:
    await prepared(progress)
    doubted = (await quick(progress)).attempt_id
    await slow(progress)
    for entry in await progress.entries("ann"):
        await progress.revoke(entry.entry_id)
    await progress.resolve(doubted, accept=True)
    assert (await progress.totals("ann"))["xp"] == 0
    await verified(progress)


async def test_a_reward_that_a_withdrawal_opened_is_paid(progress: Progress) -> None:
    await prepared(progress)
    doubted = (await quick(progress)).attempt_id
    counted = (await slow(progress)).attempt_id
    await progress.void(counted)
    assert (await level_of(progress)).status == pb.LEVEL_STATUS_AVAILABLE
    await progress.resolve(doubted, accept=True)
    assert (await level_of(progress)).xp_earned == 50
    await progress.void(doubted)
    assert (await progress.totals("ann"))["xp"] == 0
    await verified(progress)


async def test_what_would_pass_the_largest_total_stays_under_review(progress: Progress) -> None:
    await prepared(progress)
    doubted = (await quick(progress)).attempt_id
    most = (await progress.award("ann", 2**53 - 1)).entry_id
    async with refused(FailedPrecondition, "TOTAL_TOO_LARGE"):
        await progress.resolve(doubted, accept=True)
    assert [one.attempt_id for one in await progress.flagged()] == [doubted]
    await progress.revoke(most)
    await progress.resolve(doubted, accept=True)
    assert (await progress.totals("ann"))["xp"] == 50
    await verified(progress)


async def test_a_backfill_pays_by_no_attempt_under_review(progress: Progress) -> None:
    await prepared(progress)
    await quick(progress)
    counted = (await slow(progress, correct=4)).attempt_id
    await edit(progress, timed("l1", pass_ratio=0.4), timed("l2"))
    await jobs_done(progress)
    assert (await backfill(progress, credit_missing=True)).counts.completions_credited == 1
    async with progress.sql() as sql:
        paid_by = await sql.fetchval("SELECT attempt_id FROM xp_entries WHERE metric = 'xp'")
    assert str(paid_by) == counted
    await verified(progress)
