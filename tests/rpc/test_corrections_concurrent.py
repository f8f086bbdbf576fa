"""Corrections among submissions, and among themselves: each counts once, and the sums agree."""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Awaitable

from grpc import aio

from shared.gen.laurel.progress.v1 import progress_pb2 as pb
from shared.status import error_from_rpc
from tests.progress import Progress, level


async def outcome(call: Awaitable[object]) -> str:
    """ "done", or the reason of the refusal."""
    try:
        await call
    except aio.AioRpcError as error:
        return error_from_rpc(error).reason
    return "done"


async def assert_agrees(progress: Progress) -> None:
    """Totals, boards and progress are what ledger and attempts come to; no double cancel."""
    entries = await progress.entries("ann")
    sums: Counter[str] = Counter()
    earned: Counter[str] = Counter()
    for one in entries:
        sums[one.metric] += one.amount
        if one.metric == "xp":
            earned[one.level_id] += one.amount
    cancelled = [one.revokes_entry_id for one in entries if one.revokes_entry_id]
    assert len(cancelled) == len(set(cancelled))
    assert await progress.totals("ann") == {"xp": 0, **sums}
    for metric, total in sums.items():
        board = await progress.top(metric=metric)
        assert board == ([(1, "ann", total)] if total else [])
    tries: defaultdict[str, list[pb.Attempt]] = defaultdict(list)
    for attempt in await progress.attempts(user_id="ann"):
        if not attempt.voided:
            tries[attempt.level_id].append(attempt)
    for found in (await progress.course_progress("ann", "c")).levels:
        mine = tries[found.level_id]
        assert found.attempts == len(mine)
        assert found.best_marks == max((one.marks for one in mine), default=0)
        assert found.xp_earned == earned[found.level_id]
        passed = any(one.correct_answers >= 5 for one in mine)
        assert (found.status == pb.LEVEL_STATUS_COMPLETED) == passed


async def prepared(progress: Progress) -> None:
    await progress.put_users("ann")
    await progress.put_course("c", level("l1"), level("l2"))


async def test_of_many_voids_of_one_attempt_at_once_one_counts(progress: Progress) -> None:
    await prepared(progress)
    attempt = (await progress.submit("ann", "l1")).attempt_id
    outcomes = await asyncio.gather(
        *(outcome(progress.void(attempt, request_id=f"v{n}")) for n in range(12))
    )
    assert Counter(outcomes) == {"done": 1, "ATTEMPT_ALREADY_VOIDED": 11}
    await assert_agrees(progress)


async def test_one_void_sent_many_times_at_once_is_one_void_and_one_answer(
    progress: Progress,
) -> None:
    await prepared(progress)
    attempt = (await progress.submit("ann", "l1")).attempt_id
    answers = await asyncio.gather(
        *(progress.void(attempt, request_id="v", reason="why") for _ in range(12))
    )
    assert len({one.SerializeToString() for one in answers}) == 1
    assert len(await progress.entries("ann")) == 4
    await assert_agrees(progress)


async def test_voids_among_submissions_of_the_same_user_leave_one_consistent_state(
    progress: Progress,
) -> None:
    await prepared(progress)
    voided: list[str] = []

    async def learner(number: int) -> None:
        for n in range(8):
            answer = await progress.submit("ann", f"l{1 + n % 2}", (number * 3 + n) % 11)
            if n % 3:
                voided.append(answer.attempt_id)
                await progress.void(answer.attempt_id)

    await asyncio.gather(*map(learner, range(6)))
    attempts = await progress.attempts(user_id="ann")
    assert {one.attempt_id for one in attempts if one.voided} == set(voided)
    assert len(attempts) == 48
    await assert_agrees(progress)
    for attempt in attempts:
        if not attempt.voided:
            await progress.void(attempt.attempt_id)
    await assert_agrees(progress)
    assert await progress.totals("ann") == {"xp": 0, "marks": 0}


async def test_a_void_and_revocations_of_what_it_cancels_cancel_each_entry_once(
    progress: Progress,
) -> None:
    await prepared(progress)
    for _ in range(6):
        attempt = (await progress.submit("ann", "l1", 8)).attempt_id
        better = (await progress.submit("ann", "l1", 10)).attempt_id
        entries = [one.entry_id for one in await progress.entries("ann") if one.amount > 0][:3]
        outcomes = await asyncio.gather(
            outcome(progress.void(attempt)),
            outcome(progress.void(better)),
            *(outcome(progress.revoke(entry_id)) for entry_id in entries),
        )
        assert set(outcomes) <= {"done", "ENTRY_ALREADY_REVOKED"}
        assert outcomes[:2] == ["done", "done"]
        await assert_agrees(progress)
    assert await progress.totals("ann") == {"xp": 0, "marks": 0}


async def test_awards_and_revocations_of_them_at_once_never_cancel_more_than_there_is(
    progress: Progress,
) -> None:
    await prepared(progress)

    async def give_and_take(number: int) -> str:
        entry_id = (await progress.award("ann", number + 1)).entry_id
        return (await asyncio.gather(*(outcome(progress.revoke(entry_id)) for _ in range(3))))[0]

    await asyncio.gather(*map(give_and_take, range(10)))
    await assert_agrees(progress)
    assert await progress.totals("ann") == {"xp": 0}
