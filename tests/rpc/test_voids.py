"""VoidAttempt: the level is judged again without the attempt, and what it brought is taken back."""

import asyncio
from datetime import UTC, date, datetime

import pytest

from shared.errors import Conflict, FailedPrecondition, InvalidInput, NotFound, Unavailable
from shared.gen.laurel.progress.v1 import progress_pb2 as pb
from shared.gen.laurel.types.v1 import types_pb2
from tests.progress import Progress, held, level, refused, waits_for_lock
from tests.void_scene import level_of, prepared


async def test_without_its_only_attempt_a_level_is_as_if_it_had_never_been_tried(
    progress: Progress,
) -> None:
    await prepared(progress)
    untouched = await progress.course_progress("ann", "c")
    attempt = await progress.submit("ann", "l1")
    answer = await progress.void(attempt.attempt_id, reason="copied")
    available = pb.LevelProgress(level_id="l1", status=pb.LEVEL_STATUS_AVAILABLE)
    assert (answer.level, answer.total_xp) == (available, 0)
    assert await progress.course_progress("ann", "c") == untouched
    assert await progress.totals("ann") == {"xp": 0, "marks": 0, "problems_solved": 0}
    stats = await progress.stats("ann")
    assert (stats.levels_completed, stats.streak_days, stats.last_active_date) == (0, 0, "")
    for metric in ("xp", "marks", "problems_solved"):
        for course_id in ("", "c"):
            assert await progress.top(metric=metric, course_id=course_id) == []
    async with progress.sql() as sql:
        for table in ("level_progress", "course_progress", "level_rewards"):
            assert await sql.fetchval(f"SELECT count(*) FROM {table}") == 0


async def test_a_withdrawn_attempt_stays_listed_and_the_ledger_says_what_cancelled_what(
    progress: Progress,
) -> None:
    await prepared(progress)
    attempt = await progress.submit("ann", "l1")
    await progress.void(attempt.attempt_id, reason="copied")
    (listed,) = await progress.attempts(user_id="ann")
    assert (listed.attempt_id, listed.voided, listed.reason) == (
        attempt.attempt_id,
        True,
        "copied",
    )
    entries = await progress.entries("ann")
    paid = {one.entry_id: one for one in entries if one.amount > 0}
    cancelling = [one for one in entries if one.amount < 0]
    assert {one.revokes_entry_id for one in cancelling} == set(paid)
    for one in cancelling:
        cancelled = paid[one.revokes_entry_id]
        assert (cancelled.revoked_by_entry_id, one.revoked_by_entry_id) == (one.entry_id, "")
        assert (one.metric, one.amount) == (cancelled.metric, -cancelled.amount)
        assert (one.level_id, one.course_id, one.reason) == ("l1", "c", "copied")
        assert one.occurred_time == cancelled.occurred_time


async def test_regrading_is_a_void_and_a_new_submission(progress: Progress) -> None:
    await prepared(progress)
    wrong = await progress.submit("ann", "l1", 9)
    await progress.void(wrong.attempt_id)
    right = await progress.submit("ann", "l1", 6)
    assert (right.xp_earned, right.total_xp, right.best_marks) == (50, 50, 60)
    assert await progress.totals("ann") == {"xp": 50, "marks": 60, "problems_solved": 2}
    assert (await progress.submit("ann", "l1", 10)).xp_earned == 0
    found = await level_of(progress)
    assert (found.attempts, found.best_marks, found.xp_earned) == (2, 100, 50)


async def test_a_level_that_another_attempt_completes_stays_completed(progress: Progress) -> None:
    await prepared(progress)
    times = [datetime(2026, 3, day, tzinfo=UTC) for day in (1, 2, 3)]
    scores = (8, 6, 3)
    attempts = [
        await progress.submit("ann", "l1", score, occurred_time=time, time_spent={"seconds": 10})
        for score, time in zip(scores, times, strict=True)
    ]
    answer = await progress.void(attempts[0].attempt_id)
    assert answer.level == await level_of(progress)
    assert answer.level.status == pb.LEVEL_STATUS_COMPLETED
    assert answer.level.complete_time.ToDatetime(UTC) == times[1]
    assert (answer.level.attempts, answer.level.best_marks) == (2, 60)
    assert answer.level.time_spent.seconds == 20
    assert (answer.level.xp_earned, answer.total_xp) == (50, 50)
    assert await progress.totals("ann") == {"xp": 50, "marks": 60, "problems_solved": 2}
    assert await progress.top(metric="marks", course_id="c") == [(1, "ann", 60)]
    answer = await progress.void(attempts[1].attempt_id)
    assert answer.level.status == pb.LEVEL_STATUS_IN_PROGRESS
    assert not answer.level.HasField("complete_time")
    assert (answer.level.xp_earned, answer.total_xp) == (0, 0)
    course = (await progress.course_progress("ann", "c")).course
    assert (course.levels_completed, course.marks) == (0, 30)
    assert await progress.totals("ann") == {"xp": 0, "marks": 30, "problems_solved": 0}


async def test_what_is_cancelled_leaves_the_windows_in_which_it_counted(
    progress: Progress,
) -> None:
    await prepared(progress)
    late = await progress.submit("ann", "l1", occurred_time=datetime(2014, 12, 30, tzinfo=UTC))
    await progress.award("ann", 3)
    await progress.void(late.attempt_id)
    for window, period in ((types_pb2.WINDOW_YEAR, "2014"), (types_pb2.WINDOW_WEEK, "2015-W01")):
        assert await progress.top(window=window, period=period) == []
        assert await progress.top(window=window, period=period, course_id="c") == []
    assert await progress.top(window=types_pb2.WINDOW_YEAR) == [(1, "ann", 3)]
    assert await progress.top() == [(1, "ann", 3)]


async def test_a_day_stays_active_for_another_reason_only(progress: Progress) -> None:
    await prepared(progress)
    days = [datetime(2026, 3, day, 12, tzinfo=UTC) for day in (1, 2)]
    attempts = [await progress.submit("ann", "l1", occurred_time=day) for day in days]
    await progress.award("ann", 1, occurred_time=days[0])
    for attempt in attempts:
        await progress.void(attempt.attempt_id)
    async with progress.sql() as sql:
        (run,) = await sql.fetchval("SELECT active_days FROM users WHERE user_id = 'ann'")
    assert (run.lower, run.upper) == (date(2026, 3, 1), date(2026, 3, 2))


async def test_a_reward_that_was_revoked_is_not_paid_again_after_a_void(
    progress: Progress,
) -> None:
    await prepared(progress)
    attempt = await progress.submit("ann", "l1")
    paid = next(one for one in await progress.entries("ann") if one.metric == "xp")
    await progress.revoke(paid.entry_id)
    assert (await level_of(progress)).xp_earned == 0
    await progress.void(attempt.attempt_id)
    assert (await progress.submit("ann", "l1")).xp_earned == 0
    assert await progress.totals("ann") == {"xp": 0, "marks": 100, "problems_solved": 0}
    assert (await level_of(progress)).status == pb.LEVEL_STATUS_COMPLETED


async def test_a_request_id_is_answered_again_and_refused_with_other_contents(
    progress: Progress,
) -> None:
    await prepared(progress)
    first, second = [
        await progress.submit("ann", "l1", score, request_id=f"s{score}") for score in (9, 5)
    ]
    answer = await progress.void(first.attempt_id, request_id="v", reason="why")
    await progress.submit("ann", "l1", 10)
    await progress.put_course("c", level("l1", pass_ratio=1.0))
    again = await progress.void(first.attempt_id, request_id="v", reason="why")
    assert again.SerializeToString() == answer.SerializeToString()
    for changed in (
        {"attempt_id": second.attempt_id},
        {"reason": "because"},
        {"request_id": "s9"},
    ):
        async with refused(Conflict, "REQUEST_ID_REUSED"):
            given = {"attempt_id": first.attempt_id, "request_id": "v", "reason": "why"}
            await progress.void(**given | changed)
    async with refused(FailedPrecondition, "ATTEMPT_ALREADY_VOIDED") as caught:
        await progress.void(first.attempt_id, request_id="other")
    assert caught[0].metadata == {"attempt_id": first.attempt_id}


async def test_what_is_no_attempt_is_not_found_or_refused(progress: Progress) -> None:
    await prepared(progress)
    attempt = await progress.submit("ann", "l1")
    for number in ("0", "999999", "999999999999999999"):
        async with refused(NotFound, "ATTEMPT_NOT_FOUND") as caught:
            await progress.void(number)
        assert caught[0].metadata == {"attempt_id": number}
    wrong: list[tuple[dict[str, str], str]] = [
        ({"attempt_id": ""}, "attempt_id"),
        ({"attempt_id": "-1"}, "attempt_id"),
        ({"reason": "x" * 501}, "reason"),
        ({"request_id": "a b"}, "request_id"),
    ]
    for changed, field in wrong:
        async with refused(InvalidInput, "INVALID_FIELD") as errors:
            await progress.void(**{"attempt_id": attempt.attempt_id} | changed)
        assert [violation.field for violation in errors[0].violations] == [field], changed
    assert (await progress.totals("ann"))["xp"] == 50


@pytest.mark.parametrize("kind", ["attempt", "entry"])
async def test_who_is_erased_meanwhile_is_not_found(progress: Progress, kind: str) -> None:
    await prepared(progress)
    attempt = await progress.submit("ann", "l1")
    entry = (await progress.entries("ann"))[0]
    async with held(progress, "ann") as sql:
        correct = (
            progress.void(attempt.attempt_id)
            if kind == "attempt"
            else progress.revoke(entry.entry_id)
        )
        call = asyncio.ensure_future(correct)
        await waits_for_lock(progress)
        await sql.execute("SET LOCAL laurel.erasing = 'on'")
        for table in ("users", "attempts", "xp_entries"):
            await sql.execute(f"UPDATE {table} SET user_id = '~' || repeat('0', 32)")
    async with refused(NotFound, f"{kind.upper()}_NOT_FOUND"):
        await call
    async with progress.sql() as sql:
        assert await sql.fetchval("SELECT count(*) FROM xp_entries WHERE amount < 0") == 0


async def test_a_void_is_an_administrative_act_with_its_actor_once(progress: Progress) -> None:
    await prepared(progress)
    attempt = await progress.submit("ann", "l1")
    request = pb.VoidAttemptRequest(attempt_id=attempt.attempt_id, reason="why", request_id="v")
    for _ in range(2):
        await progress.progress.VoidAttempt(request, metadata=(("x-laurel-actor", "tutor:eve"),))
    assert {one.actor for one in await progress.entries("ann") if one.amount < 0} == {"tutor:eve"}
    detail = f"attempt {attempt.attempt_id} at l1: why"
    assert await progress.acts("ann") == [("VoidAttempt", "tutor:eve", detail)]


async def test_a_connection_lost_in_the_middle_leaves_nothing_and_a_retry_has_one_effect(
    progress: Progress,
) -> None:
    await prepared(progress)
    attempt = await progress.submit("ann", "l1")
    before = await progress.course_progress("ann", "c")
    await progress.settled()
    async with progress.sql() as sql, sql.transaction():
        # The statement that writes the entries comes to a halt within itself.
        await sql.execute("LOCK TABLE user_totals IN SHARE ROW EXCLUSIVE MODE")
        call = asyncio.ensure_future(progress.void(attempt.attempt_id, request_id="v"))
        await waits_for_lock(progress)
        async with progress.sql() as other:
            await other.execute(
                """SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                   WHERE datname = current_database() AND wait_event_type = 'Lock'
                     AND application_name = 'laurel_progress'"""
            )
        async with refused(Unavailable, "DATABASE_UNAVAILABLE"):
            await call
    assert await progress.course_progress("ann", "c") == before
    assert not (await progress.attempts(user_id="ann"))[0].voided
    assert (await progress.void(attempt.attempt_id, request_id="v")).total_xp == 0
    assert len(await progress.entries("ann")) == 6
