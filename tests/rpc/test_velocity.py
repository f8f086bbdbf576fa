"""How fast a user may earn: counted exactly, under concurrency and across replicas."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

from grpc import aio

from progress_service import metrics
from progress_service.settings import ProgressSettings
from shared.errors import FailedPrecondition, ResourceExhausted
from shared.gen.laurel.progress.v1 import admin_pb2, catalog_pb2
from shared.status import error_from_rpc
from tests.access import as_role
from tests.audit import verified
from tests.civil_clock import Clock
from tests.conftest import running_progress
from tests.erasure_traces import traces
from tests.progress import Progress, award, level, refused, submission

MINUTE = timedelta(minutes=1)


@asynccontextmanager
async def bounded(
    postgres_url: str, clock: Clock | None = None, **limits: int
) -> AsyncIterator[Progress]:
    """A service with these limits and no others, by a clock that stands still."""
    given = {f"max_{name}": limit for name, limit in limits.items()}
    settings = ProgressSettings(postgres_url=postgres_url, drain_seconds=0.5, **given)  # type: ignore[arg-type]
    async with running_progress(settings, clock or Clock()) as progress:
        await progress.put_users("ann", "bob")
        await progress.put_course("c", *(level(f"l{n}") for n in range(4)))
        yield progress


def counted(bound: str, outcome: str, kind: str = "submission") -> float:
    return float(metrics.IMPLAUSIBLE.labels(kind, bound, outcome)._value.get())


async def outcome(call: Any) -> str:
    """What became of a submission or an award."""
    try:
        answer = await call
    except aio.AioRpcError as error:
        return error_from_rpc(error).reason
    return "replayed" if answer.replayed else "recorded"


async def test_more_than_the_bound_is_refused_until_the_minute_is_over(postgres_url: str) -> None:
    clock = Clock()
    clock.moment += timedelta(seconds=20)
    async with bounded(postgres_url, clock, attempts_per_minute=2) as progress:
        for request_id in ("first", "second"):
            await progress.submit("ann", "l0", request_id=request_id)
        before = counted("attempts_per_minute", "refused")
        async with refused(ResourceExhausted, "VELOCITY_EXCEEDED") as errors:
            await progress.submit("ann", "l1", request_id="third")
        assert errors[0].metadata == {"bound": "attempts_per_minute", "limit": "2"}
        assert errors[0].retry_delay_s == 40
        assert counted("attempts_per_minute", "refused") == before + 1
        assert len(await progress.attempts(user_id="ann")) == 2
        # Others, and other sources, are not held up by it, and answers are repeated.
        await progress.submit("bob", "l0")
        await progress.award("ann", 5)
        assert (await progress.submit("ann", "l0", request_id="second")).replayed
        clock.moment += timedelta(seconds=errors[0].retry_delay_s)
        assert (await progress.submit("ann", "l1", request_id="third")).xp_earned == 50
        await verified(progress)


async def test_a_day_is_one_of_the_deployment(postgres_url: str) -> None:
    clock = Clock()
    async with bounded(postgres_url, clock, attempts_per_day=3) as progress:
        for _ in range(3):
            await progress.award("ann", 1)
            clock.moment += MINUTE
        async with refused(ResourceExhausted, "VELOCITY_EXCEEDED") as errors:
            await progress.award("ann", 1)
        assert errors[0].metadata["bound"] == "attempts_per_day"
        assert errors[0].retry_delay_s == (12 * 60 - 3) * 60
        clock.moment += timedelta(seconds=errors[0].retry_delay_s)
        await progress.award("ann", 1)


async def test_what_leaves_no_trace_is_not_counted(postgres_url: str) -> None:
    async with bounded(postgres_url, attempts_per_minute=2) as progress:
        mode = catalog_pb2.UNLOCK_MODE_SEQUENTIAL
        await progress.put_course("d", level("d1"), level("d2"), mode=mode)
        for _ in range(4):
            async with refused(FailedPrecondition, "LEVEL_LOCKED"):
                await progress.submit("ann", "d2")
        await progress.submit("ann", "d1", request_id="r")
        for _ in range(4):
            assert (await progress.submit("ann", "d1", request_id="r")).replayed
        await progress.submit("ann", "d2")


async def test_of_many_at_once_at_two_replicas_exactly_as_many_as_allowed_pass(
    postgres_url: str,
) -> None:
    clock = Clock()
    async with (
        bounded(postgres_url, clock, attempts_per_minute=10) as one,
        bounded(postgres_url, clock, attempts_per_minute=10) as other,
    ):
        calls = [
            replica.progress.SubmitProgress(submission(user, f"l{n % 4}", request_id=f"own{n}"))
            for n in range(24)
            for user in ("ann", "bob")
            for replica in (one, other)
        ]
        outcomes = Counter(await asyncio.gather(*map(outcome, calls)))
        # The same 24 of each user were sent to both.
        assert outcomes["recorded"] == 20
        assert outcomes["VELOCITY_EXCEEDED"] + outcomes["replayed"] == len(calls) - 20
        for user in ("ann", "bob"):
            assert len(await one.attempts(user_id=user)) == 10
        clock.moment += MINUTE
        again = [one.submit("ann", f"l{n % 4}", request_id=f"own{n}") for n in range(24)]
        assert Counter(await asyncio.gather(*map(outcome, again))) == {
            "recorded": 10,
            "replayed": 10,
            "VELOCITY_EXCEEDED": 4,
        }
        await verified(one)


async def test_a_submission_that_would_earn_too_much_is_kept_under_review(
    postgres_url: str,
) -> None:
    clock = Clock()
    async with bounded(postgres_url, clock, xp_per_minute=120) as progress:
        before = counted("xp_per_minute", "under_review")
        answers = [await progress.submit("ann", f"l{n}") for n in range(3)]
        assert [one.under_review for one in answers] == [False, False, True]
        assert (answers[2].xp_earned, answers[2].total_xp) == (0, 100)
        # What earns nothing passes, and so does the next minute.
        assert not (await progress.submit("ann", "l0")).under_review
        clock.moment += MINUTE
        assert (await progress.submit("ann", "l3")).total_xp == 150
        assert counted("xp_per_minute", "under_review") == before + 1
        (flagged,) = await progress.flagged()
        assert (flagged.attempt_id, flagged.reason) == (answers[2].attempt_id, "xp_per_minute")
        # The bound is not the reviewer's.
        for _ in range(2):
            await progress.award("bob", 60, source="level-2")
        await progress.resolve(flagged.attempt_id, accept=True)
        assert (await progress.totals("ann"))["xp"] == 200
        await verified(progress)


async def test_an_award_of_too_much_is_refused(postgres_url: str) -> None:
    async with bounded(postgres_url, xp_per_day=100) as progress:
        await progress.award("ann", 60, reference="a")
        before = counted("xp_per_day", "refused", "award")
        async with refused(ResourceExhausted, "VELOCITY_EXCEEDED") as errors:
            await progress.award("ann", 41)
        assert (errors[0].metadata, errors[0].retry_delay_s) == (
            {"bound": "xp_per_day", "limit": "100"},
            12 * 3600,
        )
        async with refused(ResourceExhausted, "VELOCITY_EXCEEDED") as errors:
            await progress.award("ann", 101)
        assert errors[0].retry_delay_s is None
        assert counted("xp_per_day", "refused", "award") == before + 2
        await progress.award("ann", 40)
        # What brings no XP is not refused for it.
        assert (await progress.award("ann", 60, reference="a")).amount_credited == 0
        await progress.award("ann", 500, metric="pomodoros")
        await progress.award("ann", 100, source="other")
        assert await progress.totals("ann") == {"xp": 200, "pomodoros": 500}


async def test_imports_are_neither_bounded_nor_counted(postgres_url: str) -> None:
    async with bounded(postgres_url, attempts_per_minute=1, xp_per_minute=50) as progress:

        async def batches() -> AsyncIterator[admin_pb2.ImportProgressRequest]:
            attempts = [submission("ann", f"l{n}") for n in range(4)]
            yield admin_pb2.ImportProgressRequest(
                attempts=[admin_pb2.ImportedAttempt(attempt=one) for one in attempts],
                awards=[award("ann", 80) for _ in range(3)],
            )

        (answer,) = [one async for one in progress.admin.ImportProgress(batches())]
        assert (answer.recorded, answer.xp_credited) == (7, 440)
        await progress.award("ann", 50)
        await progress.submit("ann", "l0")
        async with refused(ResourceExhausted, "VELOCITY_EXCEEDED"):
            await progress.submit("ann", "l0")


async def test_what_users_award_themselves_is_one_source_whatever_they_call_it(
    postgres_url: str,
) -> None:
    async with bounded(postgres_url, attempts_per_minute=3) as progress:
        metric = catalog_pb2.Metric(metric="pomodoros", max_self_award=1)
        await progress.catalog.PutMetric(catalog_pb2.PutMetricRequest(metric=metric))
        calls = [
            progress.progress.AwardXp(
                award("ann", 1, metric="pomodoros", source=f"s{n}"), **as_role("user", "ann")
            )
            for n in range(6)
        ]
        outcomes = Counter(await asyncio.gather(*map(outcome, calls)))
        assert outcomes == {"recorded": 3, "VELOCITY_EXCEEDED": 3}
        for n in range(6):
            await progress.award("ann", 1, metric="pomodoros", source=f"s{n}")


async def test_what_was_counted_is_exported_and_erased(postgres_url: str) -> None:
    async with bounded(postgres_url, attempts_per_day=9) as progress:
        await progress.submit("ann", "l0")
        for _ in range(2):
            await progress.award("ann", 5)
        request = admin_pb2.ExportUserRequest(user_id="ann")
        documents = {
            one.document_name: json.loads(one.json)
            async for one in progress.admin.ExportUser(request)
        }
        (of_levels, of_awards) = documents["velocity"]
        assert (of_levels["source"], of_levels["day_count"]) == ("level", 1)
        assert (of_awards["source"], of_awards["day_count"], of_awards["day_xp"]) == ("test", 2, 10)
        await progress.erase("ann")
        assert set(await traces(progress, "ann")) <= {"admin_actions", "changes"}
        async with progress.sql() as sql:
            assert await sql.fetchval("SELECT count(*) FROM velocity") == 0


async def test_without_bounds_nothing_is_written_down(progress: Progress) -> None:
    await progress.put_users("ann")
    await progress.award("ann", 5)
    async with progress.sql() as sql:
        assert await sql.fetchval("SELECT count(*) FROM velocity") == 0
