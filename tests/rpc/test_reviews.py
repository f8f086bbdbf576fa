"""Attempts that are too quick to be true: kept, listed, decided on, and counted only then."""

from collections.abc import AsyncIterator
from datetime import timedelta

from shared.errors import FailedPrecondition, InvalidInput, NotFound
from shared.gen.laurel.progress.v1 import admin_pb2
from shared.gen.laurel.progress.v1 import progress_pb2 as pb
from tests.audit import verified
from tests.progress import Progress, eventually, level, refused
from tests.review_scene import QUICK, THEN, prepared, quick, slow, timed

RESOLVE = "ResolveFlaggedAttempt"


async def test_an_attempt_under_review_counts_for_nothing(progress: Progress) -> None:
    await prepared(progress)
    untouched = await progress.course_progress("ann", "c")
    answer = await quick(progress)
    assert answer == pb.SubmitProgressResponse(
        status=pb.LEVEL_STATUS_AVAILABLE,
        marks=100,
        course=untouched.course,
        attempt_id=answer.attempt_id,
        level_id="l1",
        correct_answers=10,
        total_questions=10,
        under_review=True,
    )
    assert await progress.course_progress("ann", "c") == untouched
    stats = await progress.stats("ann")
    assert (stats.streak_days, stats.last_active_date, stats.levels_completed) == (0, "", 0)
    assert await progress.entries("ann") == []
    assert await progress.top() == []
    async with refused(FailedPrecondition, "LEVEL_LOCKED"):
        await slow(progress, level_id="l2")
    (listed,) = await progress.attempts(user_id="ann")
    assert (listed.under_review, listed.voided, listed.reason) == (True, False, "min_time_spent")
    assert await progress.flagged() == [listed]
    await verified(progress)


async def test_its_answer_tells_how_things_stand_without_it(progress: Progress) -> None:
    await prepared(progress)
    await slow(progress, correct=6, occurred_time=THEN)
    answer = await quick(progress)
    assert (answer.status, answer.marks, answer.best_marks) == (
        pb.LEVEL_STATUS_COMPLETED,
        100,
        60,
    )
    assert (answer.xp_earned, answer.total_xp, answer.course.marks) == (0, 50, 60)
    assert list(answer.unlocked_level_ids) == []
    assert answer.consistency_token == ""
    await slow(progress, level_id="l2", correct=1)
    assert (await quick(progress, level_id="l2")).status == pb.LEVEL_STATUS_IN_PROGRESS


async def test_a_retry_gets_the_first_answer_whatever_was_decided(progress: Progress) -> None:
    await prepared(progress)
    first = await quick(progress, request_id="r")
    again = await quick(progress, request_id="r")
    assert again.replayed
    again.replayed = False
    assert again == first
    assert len(await progress.attempts(user_id="ann")) == 1
    await progress.resolve(first.attempt_id, accept=True)
    last = await quick(progress, request_id="r")
    last.replayed = False
    assert last == first
    assert await progress.totals("ann") == {"xp": 50, "marks": 100, "problems_solved": 2}


async def test_an_accepted_attempt_counts_as_one_that_was_never_doubted(
    progress: Progress,
) -> None:
    await prepared(progress)
    doubted = await quick(progress, "ann")
    attempt = await progress.resolve(doubted.attempt_id, accept=True, reason="talked to her")
    assert (attempt.under_review, attempt.voided) == (False, False)
    assert (attempt.reason, attempt.marks) == ("talked to her", 100)
    # Of bob's level nobody asks how long it takes.
    await progress.put_course("c", level("l1", rewards=timed("l1").rewards), timed("l2"))
    await progress.submit("bob", "l1", occurred_time=THEN, time_spent=QUICK)
    ann, bob = [await progress.course_progress(one, "c") for one in ("ann", "bob")]
    assert ann.levels == bob.levels
    assert ann.course == bob.course
    assert await progress.totals("ann") == await progress.totals("bob")
    stats = [await progress.stats(one) for one in ("ann", "bob")]
    assert stats[0].last_active_date == stats[1].last_active_date == "2026-03-05"
    for metric in ("xp", "problems_solved"):
        for period, window in (("2026-03-05", "DAY"), ("2026-W10", "WEEK"), ("2026", "YEAR")):
            for course_id in ("", "c"):
                board = await progress.top(
                    metric=metric,
                    course_id=course_id,
                    window=f"WINDOW_{window}",
                    period=period,
                )
                assert [user for _, user, _ in board] == ["ann", "bob"]
                assert board[0][0] == board[1][0] == 1
    await slow(progress, level_id="l2")
    assert await progress.flagged() == []
    await verified(progress)


async def test_a_rejected_attempt_is_withdrawn_with_its_reason(progress: Progress) -> None:
    await prepared(progress)
    untouched = await progress.course_progress("ann", "c")
    doubted = await quick(progress)
    attempt = await progress.resolve(doubted.attempt_id, accept=False, reason="a script")
    assert (attempt.under_review, attempt.voided, attempt.reason) == (False, True, "a script")
    assert await progress.attempts(user_id="ann") == [attempt]
    assert await progress.flagged() == []
    assert await progress.course_progress("ann", "c") == untouched
    assert await progress.entries("ann") == []
    await verified(progress)


async def test_a_decision_is_on_record_and_final(progress: Progress) -> None:
    await prepared(progress)
    one, other = [(await quick(progress)).attempt_id for _ in range(2)]
    await progress.resolve(one, accept=True, reason="fine")
    await progress.resolve(other, accept=False)
    assert [(method, detail) for method, _, detail in await progress.acts("ann")] == [
        (RESOLVE, f"attempt {other} at l1, held for min_time_spent, withdrawn: "),
        (RESOLVE, f"attempt {one} at l1, held for min_time_spent, accepted: fine"),
    ]
    counted = (await slow(progress)).attempt_id
    for attempt_id in (one, other, counted):
        for accept in (True, False):
            async with refused(FailedPrecondition, "NOT_UNDER_REVIEW"):
                await progress.resolve(attempt_id, accept=accept)
    async with refused(NotFound, "ATTEMPT_NOT_FOUND"):
        await progress.resolve("999999", accept=True)
    async with refused(InvalidInput, "INVALID_FIELD"):
        await progress.resolve("one", accept=True)
    async with refused(InvalidInput, "INVALID_FIELD"):
        await progress.resolve(one, accept=True, reason="x" * 501)


async def test_of_what_passes_the_first_to_arrive_or_be_accepted_is_paid(
    progress: Progress,
) -> None:
    await prepared(progress)
    early, late = [(await quick(progress)).attempt_id for _ in range(2)]
    await progress.resolve(late, accept=True)
    assert await progress.totals("ann") == {"xp": 50, "marks": 100, "problems_solved": 2}
    await progress.resolve(early, accept=True)
    assert (await slow(progress)).xp_earned == 0
    assert await progress.totals("ann") == {"xp": 50, "marks": 100, "problems_solved": 2}
    (found,) = [one for one in (await progress.course_progress("ann", "c")).levels if one.attempts]
    assert (found.attempts, found.xp_earned) == (3, 50)
    await verified(progress)


async def test_marks_of_an_accepted_attempt_pay_what_they_are_better(progress: Progress) -> None:
    await prepared(progress)
    better = (await quick(progress, correct=9)).attempt_id
    worse = (await quick(progress, correct=3)).attempt_id
    await slow(progress, correct=6)
    await progress.resolve(worse, accept=True)
    assert (await progress.totals("ann"))["marks"] == 60
    await progress.resolve(better, accept=True)
    assert (await progress.totals("ann"))["marks"] == 90
    paid = [one.amount for one in await progress.entries("ann") if one.metric == "marks"]
    assert paid == [30, 60]
    await verified(progress)


async def test_the_order_of_arrival_is_that_of_acceptance_when_something_is_withdrawn(
    progress: Progress,
) -> None:
    await prepared(progress)
    doubted = (await quick(progress, occurred_time=THEN)).attempt_id
    later = THEN + timedelta(days=1)
    await slow(progress, occurred_time=later)
    await progress.resolve(doubted, accept=True)
    third = (await slow(progress, occurred_time=later + timedelta(days=1))).attempt_id
    answer = await progress.void(third)
    assert answer.level.complete_time.ToDatetime(THEN.tzinfo) == later
    assert (answer.level.attempts, answer.total_xp) == (2, 50)


async def test_an_attempt_under_review_can_be_voided(progress: Progress) -> None:
    await prepared(progress)
    await slow(progress, correct=7)
    before = await progress.course_progress("ann", "c")
    doubted = (await quick(progress)).attempt_id
    answer = await progress.void(doubted, request_id="v", reason="no")
    assert (answer.level, answer.total_xp) == (before.levels[0], 50)
    assert await progress.void(doubted, request_id="v", reason="no") == answer
    assert await progress.flagged() == []
    (found,) = [one for one in await progress.attempts(user_id="ann") if one.voided]
    assert (found.attempt_id, found.under_review, found.reason) == (doubted, False, "no")
    async with refused(FailedPrecondition, "NOT_UNDER_REVIEW"):
        await progress.resolve(doubted, accept=True)
    only = (await quick(progress, "bob")).attempt_id
    assert (await progress.void(only)).level.status == pb.LEVEL_STATUS_AVAILABLE
    await verified(progress)


async def test_the_least_time_itself_is_enough_and_a_level_without_one_asks_for_none(
    progress: Progress,
) -> None:
    await prepared(progress)
    await slow(progress)
    await progress.put_course("d", level("free"))
    assert not (await progress.submit("ann", "free")).under_review


async def test_an_import_is_never_doubted(progress: Progress) -> None:
    await prepared(progress)
    attempt = pb.SubmitProgressRequest(
        user_id="ann", level_id="l1", correct_answers=10, total_questions=10, request_id="r"
    )

    async def batches() -> AsyncIterator[admin_pb2.ImportProgressRequest]:
        yield admin_pb2.ImportProgressRequest(attempts=[admin_pb2.ImportedAttempt(attempt=attempt)])

    (answer,) = [one async for one in progress.admin.ImportProgress(batches())]
    assert (answer.recorded, answer.xp_credited) == (1, 50)
    assert await progress.flagged() == []


async def test_an_erased_users_attempts_leave_the_queue(progress: Progress) -> None:
    await prepared(progress)
    doubted = (await quick(progress)).attempt_id
    kept = (await quick(progress, "bob")).attempt_id
    await progress.erase("ann")
    assert [one.attempt_id for one in await progress.flagged()] == [kept]
    async with refused(NotFound, "ATTEMPT_NOT_FOUND"):
        await progress.resolve(doubted, accept=True)
    async with progress.sql() as sql:
        fate = "ROW(under_review, voided, reason) = ROW(false, true, '')"
        query = f"SELECT {fate} FROM attempts WHERE attempt_id = $1"
        assert await sql.fetchval(query, int(doubted))


async def test_an_accepted_attempt_is_on_the_boards_without_anything_else_being_written(
    progress: Progress,
) -> None:
    await prepared(progress)
    doubted = (await quick(progress)).attempt_id
    await progress.resolve(doubted, accept=True)

    async def numbered() -> bool:
        status = await progress.admin.GetStatus(admin_pb2.GetStatusRequest())
        return not status.unnumbered_changes

    await eventually(numbered, "the decision wakes the sequencer")
    assert await progress.top() == [(1, "ann", 50)]
