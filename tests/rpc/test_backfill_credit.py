"""BackfillTotals with credit_missing: completions that lack their ledger entry are paid once."""

from shared.gen.laurel.progress.v1 import admin_pb2 as pb
from shared.gen.laurel.progress.v1 import progress_pb2
from shared.gen.laurel.progress.v1.catalog_pb2 import MetricReward
from shared.gen.laurel.types.v1 import types_pb2
from tests.audit import MOMENT, backfill, damage, scene, verified
from tests.imports import attempt, batch, import_all
from tests.progress import Progress, level

DAY = {"window": types_pb2.WINDOW_DAY, "period": "2026-03-05"}
PAID = {"xp": 70, "problems_solved": 3, "marks": 30}


async def passed_by_an_edit(progress: Progress) -> str:
    """Bob's attempt at l1, which did not pass when it arrived, and does since an edit."""
    await scene(progress)
    answer = await progress.submit("bob", "l1", 3, occurred_time=MOMENT)
    rewards = [MetricReward(metric="problems_solved", amount=3)]
    await progress.put_course("c", level("l1", pass_ratio=0.2, rewards=rewards), level("l2"))
    await recalculated(progress)
    return answer.attempt_id


async def recalculated(progress: Progress) -> None:
    async for _ in progress.admin.RecalculateCourse(pb.RecalculateCourseRequest(course_id="c")):
        pass


async def credited(progress: Progress, **fields: bool) -> int:
    done = await backfill(progress, credit_missing=True, **fields)
    assert (done.updates, done.counts.standings_corrected) == ([], 0)
    return done.counts.completions_credited


async def test_a_completion_that_was_never_paid_is_paid_when_it_was_earned(
    progress: Progress,
) -> None:
    attempt_id = await passed_by_an_edit(progress)
    assert (await backfill(progress)).counts.completions_credited == 0
    assert await credited(progress) == 1
    assert await progress.totals("bob") == PAID
    await verified(progress)
    assert await progress.top(**DAY) == [(1, "ann", 80), (2, "bob", 70)]
    assert await progress.top(course_id="c", **DAY) == [(1, "ann", 50), (1, "bob", 50)]
    paid = {one.metric: one for one in (await progress.entries("bob"))[:2]}
    xp = paid["xp"]
    assert (xp.amount, xp.source, xp.course_id, xp.level_id) == (50, "level", "c", "l1")
    assert xp.occurred_time.ToDatetime() == MOMENT.replace(tzinfo=None)
    course = await progress.course_progress("bob", "c")
    assert [one.xp_earned for one in course.levels] == [50, 0]
    # Withdrawing the attempt takes it back.
    await progress.void(attempt_id)
    assert await progress.totals("bob") == {"xp": 20, "problems_solved": 0, "marks": 0}
    await verified(progress)


async def test_a_completion_is_paid_once_by_whoever_comes_first(progress: Progress) -> None:
    await passed_by_an_edit(progress)
    assert await credited(progress) == 1
    assert await credited(progress) == 0
    assert (await progress.submit("bob", "l1", 3)).xp_earned == 0
    assert await progress.totals("bob") == PAID


async def test_a_submission_that_came_first_leaves_nothing_to_pay(progress: Progress) -> None:
    await passed_by_an_edit(progress)
    assert (await progress.submit("bob", "l1", 3)).xp_earned == 50
    assert await credited(progress) == 0


async def test_a_dry_run_counts_completions_and_pays_none(progress: Progress) -> None:
    await passed_by_an_edit(progress)
    before = await progress.entries("bob")
    assert await credited(progress, dry_run=True) == 1
    assert await progress.entries("bob") == before
    assert await credited(progress) == 1


async def test_results_carried_over_without_xp_stay_unpaid(progress: Progress) -> None:
    await scene(progress)
    await import_all(progress, [batch(attempt("bob", "l1", 10, "carried", without_xp=True))])
    assert await credited(progress) == 0
    await progress.submit("bob", "l1", 10)
    assert await credited(progress) == 0


async def test_levels_that_the_course_has_dropped_are_not_paid(progress: Progress) -> None:
    await passed_by_an_edit(progress)
    await progress.put_course("c", level("l2"))
    assert await credited(progress) == 0


async def test_levels_that_pay_nothing_are_not_counted(progress: Progress) -> None:
    await passed_by_an_edit(progress)
    await progress.put_course("c", level("l1", xp_reward=0), level("l2"))
    assert await credited(progress) == 0


async def test_what_was_revoked_is_not_paid_again(progress: Progress) -> None:
    await scene(progress)
    for entry in await progress.entries("ann"):
        if entry.metric == "xp":
            await progress.revoke(entry.entry_id)
    assert await credited(progress) == 0
    # Not even if the key is lost that says so.
    await damage(progress, "DELETE FROM level_rewards")
    assert await credited(progress) == 0


async def test_what_a_withdrawn_attempt_took_back_can_be_paid_by_another(
    progress: Progress,
) -> None:
    await scene(progress)
    await progress.submit("bob", "l1", 3, occurred_time=MOMENT)
    first = await progress.submit("bob", "l1", 9)
    await progress.void(first.attempt_id)
    assert (await progress.totals("bob"))["xp"] == 20
    rewards = [MetricReward(metric="problems_solved", amount=3)]
    await progress.put_course("c", level("l1", pass_ratio=0.2, rewards=rewards), level("l2"))
    await recalculated(progress)
    assert await credited(progress) == 1
    assert await progress.totals("bob") == PAID
    await verified(progress)


async def test_a_total_is_mended_before_it_is_added_to(progress: Progress) -> None:
    await passed_by_an_edit(progress)
    await damage(progress, "UPDATE user_totals SET total = 500 WHERE user_id = 'bob'")
    done = await backfill(progress, credit_missing=True)
    assert done.updates == [("bob", "marks", 500, 30), ("bob", "xp", 500, 20)]
    assert done.counts.completions_credited == 1
    assert await progress.totals("bob") == PAID
    await verified(progress)


async def test_what_a_total_cannot_hold_is_left_unpaid(progress: Progress) -> None:
    await passed_by_an_edit(progress)
    await progress.award("bob", 2**53 - 1 - 20 - 49)
    assert await credited(progress) == 0
    assert await progress.totals("bob") == {"xp": 2**53 - 1 - 49, "marks": 30}
    await verified(progress)


async def test_who_had_it_paid_is_in_the_ledger(progress: Progress) -> None:
    await passed_by_an_edit(progress)
    request = pb.BackfillTotalsRequest(credit_missing=True)
    call = progress.admin.BackfillTotals(request, metadata=(("x-laurel-actor", "ops"),))
    assert [one async for one in call][-1].completions_credited == 1
    listed = await progress.progress.ListXpEntries(
        progress_pb2.ListXpEntriesRequest(user_id="bob", page_size=2)
    )
    assert {one.actor for one in listed.entries} == {"ops"}
    actions = await progress.admin.ListAdminActions(pb.ListAdminActionsRequest(user_id="bob"))
    assert (actions.actions[0].actor, actions.actions[0].user_id) == ("ops", "bob")
