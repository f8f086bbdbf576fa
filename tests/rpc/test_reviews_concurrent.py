"""Decisions at once, among submissions, and cut short: each counts once, whole or not at all."""

import asyncio
from collections import Counter
from collections.abc import Awaitable

from grpc import aio

from shared.errors import FailedPrecondition, NotFound, Unavailable
from shared.gen.laurel.progress.v1 import progress_pb2 as pb
from shared.status import error_from_rpc
from tests.audit import verified
from tests.progress import Progress, held, refused, waits_for_lock
from tests.review_scene import prepared, quick, slow


async def outcome(call: Awaitable[object]) -> str:
    """ "done", or the reason of the refusal."""
    try:
        await call
    except aio.AioRpcError as error:
        return error_from_rpc(error).reason
    return "done"


async def test_of_many_decisions_at_once_one_is_made(progress: Progress) -> None:
    await prepared(progress)
    doubted = (await quick(progress)).attempt_id
    outcomes = await asyncio.gather(
        *(outcome(progress.resolve(doubted, accept=n % 2 == 0)) for n in range(12))
    )
    assert Counter(outcomes) == {"done": 1, "NOT_UNDER_REVIEW": 11}
    (attempt,) = await progress.attempts(user_id="ann")
    totals = await progress.totals("ann")
    assert totals["xp"] == (0 if attempt.voided else 50)
    assert len(await progress.acts("ann")) == 1
    await verified(progress)


async def test_of_many_that_are_accepted_at_once_one_is_paid(progress: Progress) -> None:
    await prepared(progress)
    doubted = [(await quick(progress, correct=5 + n)).attempt_id for n in range(6)]
    await asyncio.gather(
        *(progress.resolve(one, accept=True) for one in doubted),
        *(slow(progress, correct=4 + n) for n in range(4)),
    )
    assert await progress.totals("ann") == {"xp": 50, "marks": 100, "problems_solved": 2}
    (found, _) = (await progress.course_progress("ann", "c")).levels
    assert (found.attempts, found.best_marks) == (10, 100)
    await verified(progress)


async def test_decisions_among_submissions_and_withdrawals_leave_one_consistent_state(
    progress: Progress,
) -> None:
    await prepared(progress)

    async def learner(number: int) -> None:
        for n in range(5):
            doubted = (await quick(progress, correct=(number * 3 + n) % 11)).attempt_id
            counted = (await slow(progress, correct=(number + 2 * n) % 11)).attempt_id
            await asyncio.gather(
                outcome(progress.resolve(doubted, accept=bool(n % 3))),
                outcome(progress.void(doubted if n == 4 else counted)),
            )

    await asyncio.gather(*map(learner, range(5)))
    attempts = await progress.attempts(user_id="ann")
    assert len(attempts) == 50
    assert not any(one.under_review for one in attempts)
    counting = [one for one in attempts if not one.voided]
    (found, _) = (await progress.course_progress("ann", "c")).levels
    assert found.attempts == len(counting)
    assert found.best_marks == max(one.marks for one in counting)
    await verified(progress)
    for one in counting:
        await progress.void(one.attempt_id)
    assert set((await progress.totals("ann")).values()) == {0}
    await verified(progress)


async def test_a_decision_that_waits_for_another_finds_it_made(progress: Progress) -> None:
    await prepared(progress)
    doubted = (await quick(progress)).attempt_id
    async with held(progress, "ann") as sql:
        deciding = asyncio.create_task(progress.resolve(doubted, accept=True))
        await waits_for_lock(progress)
        await sql.execute("UPDATE attempts SET under_review = false, voided = true")
    async with refused(FailedPrecondition, "NOT_UNDER_REVIEW"):
        await deciding
    assert await progress.entries("ann") == []


async def test_a_decision_that_waits_for_an_erasure_finds_no_attempt(progress: Progress) -> None:
    await prepared(progress)
    doubted = (await quick(progress)).attempt_id
    async with held(progress, "ann") as sql:
        deciding = asyncio.create_task(progress.resolve(doubted, accept=True))
        await waits_for_lock(progress)
        # As an erasure leaves it, just before it commits.
        for table in ("users", "attempts"):
            await sql.execute(
                f"UPDATE {table} SET user_id = '~' || repeat('0', 32) WHERE user_id = 'ann'"
            )
    async with refused(NotFound, "ATTEMPT_NOT_FOUND"):
        await deciding


async def test_a_decision_that_is_cut_leaves_the_attempt_under_review(progress: Progress) -> None:
    await prepared(progress)
    doubted = (await quick(progress)).attempt_id
    async with progress.sql() as sql, sql.transaction():
        # The statement that writes what follows comes to a halt within itself.
        await sql.execute("LOCK TABLE user_totals IN SHARE ROW EXCLUSIVE MODE")
        deciding = asyncio.create_task(progress.resolve(doubted, accept=True))
        await waits_for_lock(progress)
        await sql.execute(
            """SELECT pg_terminate_backend(pid) FROM pg_stat_activity
               WHERE datname = current_database() AND wait_event_type = 'Lock'
                 AND application_name = 'laurel_progress'"""
        )
        async with refused(Unavailable, "DATABASE_UNAVAILABLE"):
            await deciding
    assert [one.attempt_id for one in await progress.flagged()] == [doubted]
    assert await progress.acts("ann") == []
    await progress.resolve(doubted, accept=True)
    assert (await progress.totals("ann"))["xp"] == 50
    await verified(progress)


async def test_a_level_is_open_at_once_to_what_waited_for_the_decision(progress: Progress) -> None:
    await prepared(progress)
    doubted = (await quick(progress)).attempt_id
    await progress.resolve(doubted, accept=True)
    answer = await slow(progress, level_id="l2")
    assert (answer.status, answer.total_xp) == (pb.LEVEL_STATUS_COMPLETED, 100)
