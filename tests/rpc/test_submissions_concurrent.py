"""SubmitProgress and AwardXp from many callers at once: each counts once, none disturbs another."""

import asyncio
from collections import Counter
from contextlib import suppress

import pytest
from grpc import StatusCode, aio

from progress_service.settings import ProgressSettings
from shared.errors import NotFound, ResourceExhausted
from shared.gen.laurel.progress.v1 import progress_pb2 as pb
from tests.conftest import running_progress
from tests.progress import Progress, eventually, held, level, refused, submission, waits_for_lock


async def test_eight_clients_submitting_one_level_200_times_are_paid_once(
    progress: Progress,
) -> None:
    await progress.put_users("ann")
    await progress.put_course("c", level("l1"))

    async def client(number: int) -> list[pb.SubmitProgressResponse]:
        return [await progress.submit("ann", "l1", request_id=f"{number}-{n}") for n in range(25)]

    answers = [one for part in await asyncio.gather(*map(client, range(8))) for one in part]
    assert Counter(answer.xp_earned for answer in answers) == {50: 1, 0: 199}
    assert {answer.total_xp for answer in answers} == {50}
    attempts = await progress.attempts(user_id="ann")
    assert len({one.attempt_id for one in attempts}) == 200
    assert await progress.top() == [(1, "ann", 50)]


async def test_one_request_id_sent_fifty_times_at_once_is_one_attempt(progress: Progress) -> None:
    await progress.put_users("ann")
    await progress.put_course("c", level("l1"))
    answers = await asyncio.gather(
        *(progress.submit("ann", "l1", 7, request_id="a") for _ in range(50))
    )
    assert Counter(answer.replayed for answer in answers) == {False: 1, True: 49}
    for answer in answers:
        answer.replayed = False
    assert len({answer.SerializeToString(deterministic=True) for answer in answers}) == 1
    assert len(await progress.attempts(user_id="ann")) == 1


async def test_two_services_on_one_database_pay_a_level_once(postgres_url: str) -> None:
    settings = ProgressSettings(postgres_url=postgres_url, drain_seconds=0.5)
    async with running_progress(settings) as one, running_progress(settings) as other:
        await one.put_users("ann")
        await one.put_course("c", level("l1"))
        answers = await asyncio.gather(
            *(
                service.submit("ann", "l1", request_id=f"{name}{n % 20}")
                for n in range(40)
                for name, service in (("a", one), ("b", other), ("a", other))
            )
        )
        assert sum(answer.xp_earned for answer in answers if not answer.replayed) == 50
        assert len(await one.attempts(user_id="ann")) == 40
        assert await one.top() == [(1, "ann", 50)]


async def test_many_users_at_once_each_get_their_own_outcome(progress: Progress) -> None:
    users = [f"u{n:03d}" for n in range(150)]
    await asyncio.gather(*(progress.put_users(user_id) for user_id in users))
    await progress.put_course("c", level("l1"), level("l2", xp_reward=7))
    calls = [
        progress.submit(user_id, level_id, n % 11)
        for n, user_id in enumerate(users)
        for level_id in ("l1", "l2")
    ]
    answers = await asyncio.gather(*calls, *(progress.award(user_id, 3) for user_id in users))
    assert len(answers) == 450
    expected = {user_id: 3 + (57 if n % 11 >= 5 else 0) for n, user_id in enumerate(users)}
    await progress.settled()
    request = pb.ListStandingsRequest(page_size=500)
    standings = (await progress.standings.ListStandings(request)).standings
    assert {one.user_id: one.score for one in standings} == expected


async def test_a_user_who_is_held_up_holds_up_no_one_in_another_group(progress: Progress) -> None:
    await progress.put_users("ann", "bob")
    await progress.put_course("c", level("l1"))
    async with held(progress, "ann"):
        waiting = asyncio.create_task(progress.submit("ann", "l1"))
        await waits_for_lock(progress)
        assert (await progress.submit("bob", "l1")).xp_earned == 50
        assert not waiting.done()
    assert (await waiting).xp_earned == 50


async def test_beyond_the_queue_calls_are_refused_and_told_when_to_retry(
    postgres_url: str,
) -> None:
    settings = ProgressSettings(
        postgres_url=postgres_url, drain_seconds=0.5, queue_size=2, group_writers=1
    )
    async with running_progress(settings) as progress:
        await progress.put_users("ann", "bob", "eve")
        await progress.put_course("c", level("l1"))
        async with held(progress, "ann"):
            first = asyncio.create_task(progress.submit("ann", "l1"))
            await waits_for_lock(progress)
            second = asyncio.create_task(progress.submit("bob", "l1"))

            async def is_full() -> bool:
                return progress.app.committer._count == 2

            await eventually(is_full, "the second submission waits")
            async with refused(ResourceExhausted, "QUEUE_FULL") as caught:
                await progress.submit("eve", "l1", request_id="e")
            assert caught[0].retry_delay_s
        assert [(await call).xp_earned for call in (first, second)] == [50, 50]
        assert not (await progress.submit("eve", "l1", request_id="e")).replayed


async def test_a_caller_that_goes_away_before_its_turn_leaves_no_trace(postgres_url: str) -> None:
    settings = ProgressSettings(postgres_url=postgres_url, drain_seconds=0.5, group_writers=1)
    async with running_progress(settings) as progress:
        await progress.put_users("ann", "bob")
        await progress.put_course("c", level("l1"))
        async with held(progress, "ann"):
            first = asyncio.create_task(progress.submit("ann", "l1"))
            await waits_for_lock(progress)
            gone = progress.progress.SubmitProgress(submission("bob", "l1", request_id="b"))

            async def is_waiting() -> bool:
                return "bob" in progress.app.committer._by_user

            await eventually(is_waiting, "bob's submission waits")
            gone.cancel()

            async def is_abandoned() -> bool:
                return progress.app.committer._by_user["bob"][0].answer.done()

            await eventually(is_abandoned, "the server has seen that bob went away")
        await first
        assert await progress.attempts(user_id="bob") == []
        assert not (await progress.submit("bob", "l1", request_id="b")).replayed


async def test_a_caller_that_goes_away_in_the_middle_learns_by_a_retry_what_happened(
    progress: Progress,
) -> None:
    await progress.put_users("ann")
    await progress.put_course("c", level("l1"))
    request = submission("ann", "l1", request_id="a")
    async with held(progress, "ann"):
        call = progress.progress.SubmitProgress(request, timeout=30)
        while_waiting = asyncio.ensure_future(call)
        await waits_for_lock(progress)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await while_waiting
    answer = await progress.progress.SubmitProgress(request)
    assert answer.total_xp == 50
    assert len(await progress.attempts(user_id="ann")) == 1


async def test_a_deadline_that_passes_ends_the_call_and_a_retry_has_one_effect(
    progress: Progress,
) -> None:
    await progress.put_users("ann")
    await progress.put_course("c", level("l1"))
    request = submission("ann", "l1", request_id="a")
    async with held(progress, "ann"):
        with pytest.raises(aio.AioRpcError) as caught:
            await progress.progress.SubmitProgress(request, timeout=0.2)
        assert caught.value.code() is StatusCode.DEADLINE_EXCEEDED
    answer = await progress.progress.SubmitProgress(request)
    assert (answer.total_xp, len(await progress.attempts(user_id="ann"))) == (50, 1)


async def test_submissions_and_an_edit_of_their_course_at_once_agree_in_the_end(
    progress: Progress,
) -> None:
    users = [f"u{n}" for n in range(20)]
    await progress.put_users(*users)
    await progress.put_course("c", level("l0"), level("l1"))

    async def learn(user_id: str) -> None:
        for n in range(6):
            with suppress(aio.AioRpcError):  # the level may be gone
                await progress.submit(user_id, f"l{n % 3}", 5 + n)

    async def edit() -> None:
        for n in range(6):
            await progress.put_course("c", *(level(f"l{k}") for k in range(1 + n % 3)))

    await asyncio.gather(*map(learn, users), edit())
    for user_id in users:
        answer = await progress.submit(user_id, "l0", 1)
        found = await progress.course_progress(user_id, "c")
        assert answer.course == found.course
        assert answer.course.marks == sum(one.best_marks for one in found.levels)
    async with refused(NotFound, "LEVEL_NOT_FOUND"):
        await progress.submit("u0", "nothing")
