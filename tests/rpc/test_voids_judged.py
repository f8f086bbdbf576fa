"""VoidAttempt: by which version of a course it judges, and on which boards the rest counts."""

from shared.gen.laurel.progress.v1 import catalog_pb2
from shared.gen.laurel.progress.v1 import progress_pb2 as pb
from tests.audit import verified
from tests.history_fold import check
from tests.imports import attempt, batch, import_all
from tests.progress import Progress, level
from tests.void_scene import level_of, prepared


async def test_the_answer_has_the_levels_status_in_the_course_as_it_is_now(
    progress: Progress,
) -> None:
    await progress.put_users("ann")
    levels = (level("l1"), level("l2"), level("l3"))
    await progress.put_course("c", *levels, mode=catalog_pb2.UNLOCK_MODE_SEQUENTIAL)
    attempts = [await progress.submit("ann", one) for one in ("l1", "l2")]
    first = await progress.void(attempts[0].attempt_id)
    assert first.level.status == pb.LEVEL_STATUS_AVAILABLE
    # l2 was completed, so it stays open and completed, and l3 behind it.
    statuses = [one.status for one in (await progress.course_progress("ann", "c")).levels]
    assert statuses == [
        pb.LEVEL_STATUS_AVAILABLE,
        pb.LEVEL_STATUS_COMPLETED,
        pb.LEVEL_STATUS_AVAILABLE,
    ]
    second = await progress.void(attempts[1].attempt_id)
    assert second.level == pb.LevelProgress(level_id="l2", status=pb.LEVEL_STATUS_LOCKED)


async def test_a_level_that_was_made_easier_is_judged_by_what_it_is_now(
    progress: Progress,
) -> None:
    await prepared(progress, pass_ratio=0.8)
    await progress.submit("ann", "l1", 5)
    passed = await progress.submit("ann", "l1", 9)
    await progress.put_course("c", level("l1", pass_ratio=0.5))
    answer = await progress.void(passed.attempt_id)
    assert answer.level.status == pb.LEVEL_STATUS_COMPLETED
    assert answer.level == await level_of(progress)
    assert (answer.level.xp_earned, answer.total_xp, answer.level.best_marks) == (50, 50, 50)


async def test_what_an_edit_completed_stays_so_through_the_next_until_its_attempt_goes(
    progress: Progress,
) -> None:
    await prepared(progress, pass_ratio=0.8)
    failed, better = [await progress.submit("ann", "l1", score) for score in (3, 6)]
    for pass_ratio in (0.5, 0.9):
        await progress.put_course("c", level("l1", pass_ratio=pass_ratio))
    answer = await progress.void(failed.attempt_id)
    assert answer.level == await level_of(progress)
    assert (answer.level.status, answer.total_xp) == (pb.LEVEL_STATUS_COMPLETED, 0)
    course = (await progress.course_progress("ann", "c")).course
    assert (course.course_version, course.levels_completed, course.marks) == (3, 1, 60)
    answer = await progress.void(better.attempt_id)
    assert answer.level.status == pb.LEVEL_STATUS_AVAILABLE


async def test_a_level_that_left_its_course_is_judged_by_what_was_recorded(
    progress: Progress,
) -> None:
    await prepared(progress)
    first, second = [await progress.submit("ann", "l1", score) for score in (8, 6)]
    await progress.put_course("c", level("other"))
    answer = await progress.void(first.attempt_id)
    assert answer.level.status == pb.LEVEL_STATUS_COMPLETED
    assert (answer.level.best_marks, answer.total_xp) == (60, 50)
    answer = await progress.void(second.attempt_id)
    assert answer.level == pb.LevelProgress(level_id="l1", status=pb.LEVEL_STATUS_AVAILABLE)
    assert await progress.totals("ann") == {"xp": 0, "marks": 0, "problems_solved": 0}
    await prepared(progress)
    assert (await progress.submit("ann", "l1")).xp_earned == 50


async def test_an_attempt_that_completed_a_level_by_a_void_has_passed_for_good(
    progress: Progress,
) -> None:
    await prepared(progress, pass_ratio=0.8)
    best, middle, worst = [await progress.submit("ann", "l1", score) for score in (10, 5, 1)]
    await progress.put_course("c", level("l1", pass_ratio=0.4))
    by_middle = await progress.void(best.attempt_id)
    assert (by_middle.level.status, by_middle.total_xp) == (pb.LEVEL_STATUS_COMPLETED, 50)
    await progress.put_course("c", level("l1", pass_ratio=0.9))
    answer = await progress.void(worst.attempt_id)
    assert (answer.level.status, answer.total_xp) == (pb.LEVEL_STATUS_COMPLETED, 50)
    assert answer.level.complete_time == by_middle.level.complete_time
    assert answer.level == await level_of(progress)
    await verified(progress)
    answer = await progress.void(middle.attempt_id)
    assert (answer.level.status, answer.total_xp) == (pb.LEVEL_STATUS_AVAILABLE, 0)


async def marks_on(progress: Progress, course_id: str = "") -> list[tuple[int, str, int]]:
    return await progress.top(metric="marks", course_id=course_id)


async def test_a_void_raises_no_score_on_a_board_that_was_reset(progress: Progress) -> None:
    await prepared(progress)
    best, middle, low = [await progress.submit("ann", "l1", score) for score in (8, 6, 4)]
    await progress.reset("q1", metric="marks")
    await progress.void(best.attempt_id)
    assert await marks_on(progress) == []
    assert await marks_on(progress, course_id="c") == [(1, "ann", 60)]
    await check(progress)
    await verified(progress)
    # What replaces a replacement counts where the first one did, and so does what cancels it.
    await progress.void(middle.attempt_id)
    assert await marks_on(progress) == []
    assert await marks_on(progress, course_id="c") == [(1, "ann", 40)]
    await progress.submit("ann", "l1", 9)
    assert await marks_on(progress) == [(1, "ann", 50)]
    await progress.void(low.attempt_id)
    await check(progress)
    await verified(progress)


async def test_stats_tell_what_a_void_leaves_on_a_reset_board_before_it_has_its_number(
    progress: Progress,
) -> None:
    await prepared(progress)
    best, _ = [await progress.submit("ann", "l1", score) for score in (8, 6)]
    await progress.reset("q1", metric="marks")
    await progress.settled()
    async with progress.numbering_held():
        await progress.void(best.attempt_id)
        before = {one.metric: one for one in (await progress.stats("ann")).metrics}
    await progress.settled()
    after = {one.metric: one for one in (await progress.stats("ann")).metrics}
    assert before == after
    assert after.keys() == {"xp", "problems_solved"}


async def test_a_result_carried_over_settles_the_reward_until_it_is_withdrawn(
    progress: Progress,
) -> None:
    await prepared(progress)
    await import_all(progress, [batch(attempt("ann", "l1", 9, "carried", without_xp=True))])
    later = await progress.submit("ann", "l1", 8)
    assert (later.xp_earned, later.total_xp) == (0, 0)
    carried = (await progress.attempts(user_id="ann"))[-1]
    answer = await progress.void(later.attempt_id)
    assert (answer.level.status, answer.total_xp) == (pb.LEVEL_STATUS_COMPLETED, 0)
    answer = await progress.void(carried.attempt_id)
    assert answer.level.status == pb.LEVEL_STATUS_AVAILABLE
    assert (await progress.submit("ann", "l1", 8)).xp_earned == 50
    await verified(progress)
