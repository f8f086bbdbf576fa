"""The queue of reviews has room for so many attempts of a user, and for no more."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from grpc import aio

from progress_service import metrics
from progress_service.settings import ProgressSettings
from shared.errors import FailedPrecondition, ResourceExhausted
from shared.status import error_from_rpc
from tests.audit import verified
from tests.conftest import running_progress
from tests.progress import Progress, refused, submission
from tests.review_scene import QUICK, prepared, quick, slow

FULL = "TOO_MANY_FLAGGED_ATTEMPTS"


@asynccontextmanager
async def roomy(postgres_url: str, most: int, **limits: int) -> AsyncIterator[Progress]:
    settings = ProgressSettings(
        postgres_url=postgres_url,
        drain_seconds=0.5,
        max_flagged_attempts=most,
        **limits,  # type: ignore[arg-type]
    )
    async with running_progress(settings) as progress:
        await prepared(progress)
        yield progress


def counted() -> float:
    labels = ("submission", "flagged_attempts", "refused")
    return float(metrics.IMPLAUSIBLE.labels(*labels)._value.get())


async def outcome(call: Any) -> str:
    try:
        answer = await call
    except aio.AioRpcError as error:
        return error_from_rpc(error).reason
    if answer.replayed:
        return "replayed"
    return "held" if answer.under_review else "counted"


async def test_one_too_many_is_refused_and_leaves_nothing(postgres_url: str) -> None:
    async with roomy(postgres_url, 2, max_attempts_per_day=1000) as progress:
        for request_id in ("first", "second"):
            await quick(progress, request_id=request_id)
        before, made = counted(), len(await progress.attempts(user_id="ann"))
        async with progress.sql() as sql:
            velocity = await sql.fetch("SELECT * FROM velocity")
            async with refused(ResourceExhausted, FULL) as errors:
                await quick(progress, request_id="third")
            assert await sql.fetch("SELECT * FROM velocity") == velocity
        assert errors[0].metadata == {"bound": "flagged_attempts", "limit": "2"}
        # People decide, so nobody knows when to come again.
        assert errors[0].retry_delay_s is None
        assert counted() == before + 1
        assert len(await progress.attempts(user_id="ann")) == len(await progress.flagged()) == made
        await verified(progress)


async def test_whoever_has_no_room_goes_on_with_what_is_plausible_and_so_do_others(
    postgres_url: str,
) -> None:
    async with roomy(postgres_url, 1) as progress:
        first = await quick(progress, request_id="r")
        assert (await slow(progress)).xp_earned == 50
        await quick(progress, "bob")
        again = await quick(progress, request_id="r")
        assert again.replayed
        assert again.attempt_id == first.attempt_id


async def test_a_decision_makes_room_for_the_same_request(postgres_url: str) -> None:
    async with roomy(postgres_url, 1) as progress:
        for accept in (True, False):
            held = await quick(progress)
            async with refused(ResourceExhausted, FULL):
                await quick(progress, request_id=f"next-{accept}")
            await progress.resolve(held.attempt_id, accept=accept)
            held = await quick(progress, request_id=f"next-{accept}")
            assert not held.replayed
            await progress.void(held.attempt_id)


async def test_what_is_wrong_otherwise_is_told_first(postgres_url: str) -> None:
    async with roomy(postgres_url, 1) as progress:
        await quick(progress)
        async with refused(FailedPrecondition, "LEVEL_LOCKED"):
            await quick(progress, level_id="l2")


async def test_of_many_at_once_at_two_replicas_exactly_as_many_as_there_is_room_for_are_held(
    postgres_url: str,
) -> None:
    async with roomy(postgres_url, 3) as one, roomy(postgres_url, 3) as other:
        calls = [
            replica.progress.SubmitProgress(
                submission(user, "l1", request_id=f"{name}{n}", time_spent=QUICK)
            )
            for n in range(12)
            for user in ("ann", "bob")
            for name, replica in (("one", one), ("other", other))
        ]
        outcomes = Counter(await asyncio.gather(*map(outcome, calls)))
        assert outcomes == {"held": 6, FULL: len(calls) - 6}
        for user in ("ann", "bob"):
            assert len(await one.flagged(user_id=user)) == 3


async def test_decisions_among_submissions_never_leave_more_than_there_is_room_for(
    postgres_url: str,
) -> None:
    async with roomy(postgres_url, 2) as progress:

        async def learner() -> None:
            for _ in range(8):
                call = progress.progress.SubmitProgress(submission("ann", "l1", time_spent=QUICK))
                assert await outcome(call) in ("held", FULL)
                waiting = await progress.flagged(user_id="ann")
                assert len(waiting) <= 2
                for one in waiting[:1]:
                    await asyncio.gather(
                        progress.resolve(one.attempt_id, accept=False), return_exceptions=True
                    )

        await asyncio.gather(*(learner() for _ in range(4)))
        await verified(progress)


async def test_a_bound_of_nought_is_none(postgres_url: str) -> None:
    async with roomy(postgres_url, 0) as progress:
        for _ in range(25):
            await quick(progress)
