"""VerifyLedger: progress at levels and in courses that differs is told; what is legal is not."""

import pytest

from shared.gen.laurel.progress.v1 import catalog_pb2 as catalog
from shared.gen.laurel.progress.v1.catalog_pb2 import MetricReward
from tests.audit import COURSE, LEVEL, MOMENT, Found, backfill, damage, scene, verified, verify
from tests.courses import jobs_done, jobs_held, ratio, recalculate, told
from tests.imports import attempt, batch, import_all
from tests.progress import Progress, level

L1 = "user_id = 'ann' AND level_id = 'l1'"
NEW_ROW = "INSERT INTO level_progress (user_id, course_id, level_id, best_marks, attempts,"
SUMS = {"c/levels_completed": (1, 0), "c/marks": (100, 0)}


def differing(figures: dict[str, tuple[int, int]]) -> list[Found]:
    """Of ann: of levels, unless a course is named."""
    return [
        Found(COURSE if where.startswith("c/") else LEVEL, "ann", where, *values)
        for where, values in figures.items()
    ]


@pytest.mark.parametrize(
    ("statement", "figures"),
    [
        (f"UPDATE level_progress SET attempts = 4 WHERE {L1}", {"l1/attempts": (1, 4)}),
        (
            f"UPDATE level_progress SET best_marks = 99 WHERE {L1}",
            {"l1/best_marks": (100, 99), "c/marks": (99, 100)},
        ),
        (f"UPDATE level_progress SET time_spent_ms = 5 WHERE {L1}", {"l1/time_spent_ms": (0, 5)}),
        (
            f"UPDATE level_progress SET complete_time = NULL WHERE {L1}",
            {"l1/completed": (1, 0), "c/levels_completed": (0, 1)},
        ),
        (f"UPDATE attempts SET passed = false WHERE {L1}", {"l1/completed": (0, 1)}),
        (f"UPDATE level_progress SET xp_earned = 51 WHERE {L1}", {"l1/xp_earned": (50, 51)}),
        (f"DELETE FROM level_rewards WHERE {L1}", {"l1/rewarded": (1, 0)}),
        (
            f"DELETE FROM level_progress WHERE {L1}",
            {
                "l1/attempts": (1, 0),
                "l1/best_marks": (100, 0),
                "l1/completed": (1, 0),
                "l1/xp_earned": (50, 0),
                "c/levels_completed": (0, 1),
                "c/marks": (0, 100),
            },
        ),
        (
            f"UPDATE attempts SET voided = true WHERE {L1}",
            {"l1/attempts": (0, 1), "l1/best_marks": (0, 100), "l1/completed": (0, 1)},
        ),
        (
            "UPDATE course_progress SET levels_completed = 2 WHERE user_id = 'ann'",
            {"c/levels_completed": (1, 2)},
        ),
        ("UPDATE course_progress SET marks = 7 WHERE user_id = 'ann'", {"c/marks": (100, 7)}),
        ("DELETE FROM course_progress WHERE user_id = 'ann'", SUMS),
    ],
    ids=[
        "attempts",
        "marks",
        "time",
        "completion",
        "not passed",
        "xp",
        "reward",
        "missing",
        "without attempts",
        "completed levels",
        "marks of a course",
        "missing course",
    ],
)
async def test_wrong_progress_is_found(
    progress: Progress, statement: str, figures: dict[str, tuple[int, int]]
) -> None:
    await scene(progress)
    await damage(progress, statement)
    assert (await verify(progress))[0] == differing(figures)


async def test_progress_that_no_attempt_explains_is_found(progress: Progress) -> None:
    await scene(progress)
    await damage(progress, f"{NEW_ROW} time_spent_ms, xp_earned) VALUES ('bob','c','l2',0,2,0,0)")
    assert (await verify(progress))[0] == [Found(LEVEL, "bob", "l2/attempts", 0, 2)]


async def test_a_completion_without_an_attempt_that_passed_is_found(progress: Progress) -> None:
    await scene(progress)
    await progress.submit("bob", "l1", 3)
    await damage(
        progress,
        "UPDATE level_progress SET complete_time = now() WHERE user_id = 'bob'",
        "UPDATE course_progress SET levels_completed = 1 WHERE user_id = 'bob'",
    )
    assert (await verify(progress))[0] == [Found(LEVEL, "bob", "l1/completed", 0, 1)]


async def test_a_reward_that_was_revoked_must_stay_on_record(progress: Progress) -> None:
    await scene(progress)
    for entry in await progress.entries("ann"):
        if entry.level_id:
            await progress.revoke(entry.entry_id)
    await verified(progress)
    (found,) = await progress.attempts(user_id="ann")
    await progress.void(found.attempt_id)
    await verified(progress)
    await damage(progress, f"DELETE FROM level_rewards WHERE {L1}")
    assert (await verify(progress))[0] == differing({"l1/rewarded": (1, 0)})


async def test_a_reward_may_be_withdrawn_earned_again_and_withdrawn_again(
    progress: Progress,
) -> None:
    await scene(progress)
    for _ in range(2):
        for one in await progress.attempts(user_id="ann"):
            if not one.voided:
                await progress.void(one.attempt_id)
        await verified(progress)
        await progress.submit("ann", "l1", 3)
        await progress.submit("ann", "l1", 9)
        await verified(progress)
    xp = next(one for one in await progress.entries("ann") if one.metric == "xp" and one.amount > 0)
    await progress.revoke(xp.entry_id)
    await verified(progress)


async def test_what_never_paid_and_what_a_backfill_paid_agree(progress: Progress) -> None:
    await scene(progress)
    await progress.put_course("c", level("l1"), level("l2"), level("l3", xp_reward=0))
    await progress.submit("bob", "l3")
    carried = attempt("bob", "l1", 9, "carried", without_xp=True)
    await import_all(progress, [batch(carried)])
    await verified(progress)
    await progress.submit("cyd", "l1", 3, occurred_time=MOMENT)
    await progress.submit("cyd", "l1", 4, occurred_time=MOMENT)
    rewards = [MetricReward(metric="pomodoros", amount=1)]
    await progress.put_course("c", ratio("l1", 0.2, rewards=rewards), level("l2"))
    await jobs_done(progress)
    await verified(progress)
    assert (await backfill(progress, credit_missing=True)).counts.completions_credited == 1
    await verified(progress)
    assert (await progress.course_progress("cyd", "c")).levels[0].xp_earned == 50
    await progress.erase("cyd")
    await verified(progress)


async def test_edits_leave_nothing_to_tell_before_and_after_they_reach_the_learners(
    progress: Progress,
) -> None:
    await scene(progress)
    await progress.submit("ann", "l2", 3)
    await progress.submit("bob", "l2", 3)
    for levels in (
        [level("l2")],
        [ratio("l1", 1.0), ratio("l2", 0.2)],
        [level("l3")],
        [level("l1"), level("l2"), level("l3")],
    ):
        async with jobs_held(progress):
            await progress.put_course("c", *levels)
            await verified(progress)
        await jobs_done(progress)
        await verified(progress)
    assert (await progress.stats("bob")).levels_completed == 1


async def test_an_attempt_that_passes_since_an_edit_completes_the_level_for_good(
    progress: Progress,
) -> None:
    await scene(progress)
    await progress.submit("ann", "l1", 3)
    first = (await progress.attempts(user_id="ann"))[-1]
    await progress.put_course("c", ratio("l1", 0.2), level("l2"))
    await progress.void(first.attempt_id)
    await progress.put_course("c", ratio("l1", 0.9), level("l2"))
    await verified(progress)
    await jobs_done(progress)
    await verified(progress)
    assert (await progress.course_progress("ann", "c")).course.levels_completed == 1


async def test_a_level_passed_by_an_edit_is_completed_by_its_attempt(progress: Progress) -> None:
    await scene(progress)
    await progress.submit("bob", "l1", 3)
    before = catalog.Level(level_id="l1", max_marks=100, pass_ratio=0.2, xp_reward=50)
    await progress.put_course("c", before)
    assert (await told(recalculate(progress, "bob")))[-1].users_done == 1
    await verified(progress)


@pytest.mark.parametrize("user_id", ["ann", ""], ids=["one learner", "everyone"])
async def test_judging_anew_mends_the_sums_over_a_course(progress: Progress, user_id: str) -> None:
    await scene(progress)
    await damage(progress, "UPDATE course_progress SET levels_completed = 0, marks = 0")
    assert (await verify(progress))[0] == differing(SUMS)
    assert (await told(recalculate(progress, user_id)))[-1].users_changed == 1
    await verified(progress)
    course = (await progress.course_progress("ann", "c")).course
    assert (course.levels_completed, course.marks) == (1, 100)
