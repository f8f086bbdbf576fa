"""The stored job that judges a course's learners: it holds nobody up and forgets nobody."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from progress_service.settings import ProgressSettings
from shared.gen.laurel.progress.v1.progress_pb2 import VoidAttemptRequest
from tests.conftest import running_progress
from tests.courses import (
    USERS,
    completed,
    counts,
    jobs_done,
    jobs_held,
    judged_by,
    learners,
    ratio,
    recalculate,
    told,
)
from tests.progress import Progress, eventually, held, level, submission


async def test_nobody_waits_for_a_job_but_the_one_who_waits_for_someone_else(
    progress: Progress,
) -> None:
    await learners(progress)
    async with held(progress, "u0"):
        await progress.put_course("c", ratio("l1", 0.5), level("l2"))
        async with asyncio.timeout(20):
            for user_id in USERS[1:]:
                assert (await progress.submit(user_id, "l2")).xp_earned == 50
            await progress.put_course("c", ratio("l1", 0.4), level("l2"))
    await jobs_done(progress)
    assert [await judged_by(progress, user_id) for user_id in USERS] == [3] * 10
    assert await completed(progress) == 6 + 9


async def test_replicas_share_the_work_and_count_nobody_twice(postgres_url: str) -> None:
    settings = ProgressSettings(postgres_url=postgres_url, drain_seconds=0.5)
    async with running_progress(settings) as one, running_progress(settings) as other:
        await learners(one)
        for n, pass_ratio in enumerate((0.8, 0.6, 0.4, 0.2)):
            await asyncio.gather(
                one.put_course("c", ratio("l1", pass_ratio), level("l2")),
                other.put_course("d", level("m1", xp_reward=n)),
            )
            calls = [told(recalculate(each)) for each in (one, other)]
            for *_, last in await asyncio.gather(*calls):
                assert counts(last)[:2] == (10, 10)
        assert await completed(one) == 8


@asynccontextmanager
async def judging_fails_for(progress: Progress, user_id: str) -> AsyncIterator[None]:
    """Storing this learner's evaluation fails within the block."""
    async with progress.sql() as sql:
        await sql.execute(
            f"""CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                    IF NEW.user_id = '{user_id}' THEN RAISE EXCEPTION 'poison'; END IF;
                    RETURN NEW;
                END $$"""
        )
        await sql.execute(
            """CREATE TRIGGER fail BEFORE UPDATE ON course_progress
               FOR EACH ROW EXECUTE FUNCTION fail()"""
        )
        try:
            yield
        finally:
            await sql.execute("DROP FUNCTION fail CASCADE")


async def test_a_learner_who_cannot_be_judged_holds_up_no_other_and_is_tried_again(
    progress: Progress,
) -> None:
    def failures() -> float:
        return REGISTRY.get_sample_value("laurel_course_job_failures_total") or 0

    await learners(progress)
    before = failures()
    with capture_logs() as logged:
        await judged_but_for(progress, "u2")
    assert {one["course_id"] for one in logged if one["event"] == "course job failed"} == {"c"}
    assert failures() >= before + 3


async def judged_but_for(progress: Progress, user_id: str) -> None:
    async with judging_fails_for(progress, user_id), progress.sql() as sql:
        await progress.put_course("c", ratio("l1", 0.5), level("l2"))

        async def others_done() -> bool:
            return bool(await sql.fetchval("SELECT users_done = 9 FROM course_jobs"))

        await eventually(others_done, "the others are judged")

        async def given_time() -> bool:
            return bool(
                await sql.fetchval(
                    "SELECT failures >= 2 AND held_user_ids = $1 FROM course_jobs", [user_id]
                )
            )

        await eventually(given_time, "the pauses grow")
        pause = "SELECT extract(epoch FROM next_try_time - now()) FROM course_jobs"
        assert await sql.fetchval(pause) <= 2
        # Reading the learner goes on, though nothing can be stored.
        found = await progress.course_progress(user_id, "c")
        assert found.course.course_version == 2
        call = recalculate(progress)
        await told(call, 0)
    assert counts((await told(call))[-1]) == (10, 10, 4, 2)


async def test_a_learner_whose_first_attempt_came_behind_the_job_is_judged_before_it_ends(
    progress: Progress,
) -> None:
    await learners(progress)
    await progress.put_users("a-newcomer")
    await progress.submit("a-newcomer", "l1", 6)
    async with held(progress, "u9"):
        await progress.put_course("c", ratio("l1", 0.5), level("l2"))
        async with progress.sql() as sql:

            async def passed() -> bool:
                query = "SELECT users_done = 10 FROM course_jobs"
                return bool(await sql.fetchval(query))

            await eventually(passed, "the job has passed all but one")
            # As if the attempt were committed only now, by the version before.
            await sql.execute(
                """UPDATE course_progress SET course_version = 1, levels_completed = 0
                   WHERE user_id = 'a-newcomer'"""
            )
    await jobs_done(progress)
    assert await judged_by(progress, "a-newcomer") == 2


@pytest.mark.parametrize("voided_first", [False, True])
async def test_a_job_brings_nothing_back_that_was_withdrawn(
    progress: Progress, voided_first: bool
) -> None:
    """The attempt by which an edit completes a level, withdrawn before or after the job."""
    await learners(progress)
    attempt = (await progress.attempts(user_id="u6"))[0]
    void = VoidAttemptRequest(attempt_id=attempt.attempt_id, request_id="v1")
    async with jobs_held(progress):
        await progress.put_course("c", ratio("l1", 0.5), level("l2"))
        if voided_first:
            await progress.progress.VoidAttempt(void)
    await told(recalculate(progress))
    if not voided_first:
        await progress.progress.VoidAttempt(void)
        assert (await told(recalculate(progress)))[-1].users_done == 9
    found = await progress.course_progress("u6", "c")
    assert (found.course.levels_completed, found.levels[0].attempts) == (0, 0)


async def test_withdrawals_submissions_and_edits_at_once_agree_in_the_end(
    progress: Progress,
) -> None:
    await learners(progress)
    attempts = [(await progress.attempts(user_id=user_id))[0] for user_id in USERS[5:9]]

    async def edits() -> None:
        for pass_ratio in (0.5, 0.9, 0.5, 0.9, 0.5, 0.9):
            await progress.put_course("c", ratio("l1", pass_ratio), level("l2"))

    async def voids() -> None:
        for n, attempt in enumerate(attempts):
            request = VoidAttemptRequest(attempt_id=attempt.attempt_id, request_id=f"v{n}")
            await progress.progress.VoidAttempt(request)

    async def submits() -> None:
        for user_id in USERS[:5]:
            await progress.progress.SubmitProgress(submission(user_id, "l2"))

    await asyncio.gather(edits(), voids(), submits())
    await jobs_done(progress)
    for user_id in USERS:
        found = await progress.course_progress(user_id, "c")
        n = int(user_id[1:])
        assert found.course.levels_completed == (n < 5) + (n == 9), user_id
        assert [one.attempts for one in found.levels] == [n < 5 or n == 9, n < 5]
