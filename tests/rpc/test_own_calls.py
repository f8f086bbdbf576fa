"""What users may do for themselves, and what is kept to backends."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest

from progress_service.settings import ProgressSettings
from shared.errors import InvalidInput, NotFound, PermissionDenied
from shared.gen.laurel.progress.v1 import catalog_pb2 as catalog
from shared.gen.laurel.progress.v1 import progress_pb2 as pb
from tests.access import as_role
from tests.civil_clock import Clock
from tests.conftest import running_progress
from tests.progress import Progress, award, level, refused, submission

ANN = as_role("user", "ann")
WEEK = timedelta(days=7)
METRIC = catalog.Metric(metric="pomodoros", max_self_award=3)


@asynccontextmanager
async def serving(
    postgres_url: str, clock: Clock | None = None, **settings: Any
) -> AsyncIterator[Progress]:
    """A service that knows ann, a course, and a metric of which users may award themselves 3."""
    given = ProgressSettings(postgres_url=postgres_url, drain_seconds=0.5, **settings)
    async with running_progress(given, clock or Clock()) as progress:
        await progress.put_users("ann")
        await progress.put_course("c", level("l1"))
        await progress.catalog.PutMetric(catalog.PutMetricRequest(metric=METRIC))
        yield progress


async def test_a_user_reports_what_is_a_week_old_and_nothing_older(postgres_url: str) -> None:
    clock = Clock()
    async with serving(postgres_url, clock) as progress:
        last = clock.moment - WEEK
        older = last - timedelta(microseconds=1)
        calls: list[tuple[Any, Any]] = [
            (submission("ann", "l1"), progress.progress.SubmitProgress),
            (award("ann", 1, metric="pomodoros"), progress.progress.AwardXp),
        ]
        for request, call in calls:
            request.occurred_time.FromDatetime(older)
            async with refused(InvalidInput, "INVALID_FIELD") as errors:
                await call(request, **ANN)
            assert [one.field for one in errors[0].violations] == ["occurred_time"]
            request.occurred_time.FromDatetime(last)
            answer = await call(request, **ANN)
            # The same request, when it is older, is still the one that was answered.
            clock.moment += WEEK
            again = await call(request, **ANN)
            assert again.replayed
            again.replayed = False
            assert again == answer
            clock.moment -= WEEK
        assert len(await progress.entries("ann")) == 3


async def test_a_backend_reports_what_is_older(postgres_url: str) -> None:
    clock = Clock()
    async with serving(postgres_url, clock) as progress:
        for role in ("service", "admin"):
            request = submission("ann", "l1", occurred_time=clock.moment - 9 * WEEK)
            await progress.progress.SubmitProgress(request, **as_role(role, "back"))


async def test_how_far_back_users_may_report_is_a_setting(postgres_url: str) -> None:
    clock = Clock()
    async with serving(postgres_url, clock, max_late="PT1H") as progress:
        request = submission("ann", "l1", occurred_time=clock.moment - timedelta(hours=2))
        async with refused(InvalidInput, "INVALID_FIELD"):
            await progress.progress.SubmitProgress(request, **ANN)


async def test_a_user_awards_itself_up_to_the_bound_of_the_metric(postgres_url: str) -> None:
    async with serving(postgres_url) as progress:
        call = progress.progress.AwardXp
        assert (await call(award("ann", 3, metric="pomodoros"), **ANN)).total == 3
        async with refused(PermissionDenied, "SELF_AWARD_TOO_LARGE") as errors:
            await call(award("ann", 4, metric="pomodoros"), **ANN)
        assert errors[0].metadata == {"metric": "pomodoros", "max_self_award": "3"}
        async with refused(PermissionDenied, "SELF_AWARD_TOO_LARGE") as errors:
            await call(award("ann", 1), **ANN)
        assert errors[0].metadata == {"metric": "xp", "max_self_award": "0"}
        async with refused(NotFound, "METRIC_NOT_FOUND"):
            await call(award("ann", 1, metric="nothing"), **ANN)
        assert await progress.totals("ann") == {"xp": 0, "pomodoros": 3}
        service = as_role("service", "back")
        assert (await call(award("ann", 400, metric="pomodoros"), **service)).total == 403


async def test_a_user_gives_itself_nothing_by_hand(postgres_url: str) -> None:
    async with serving(postgres_url) as progress:
        given = award("ann", 1, metric="pomodoros", source="admin")
        async with refused(PermissionDenied, "ROLE_REQUIRED"):
            await progress.progress.AwardXp(given, **ANN)
        assert [method for method, _, _ in await progress.acts("ann")] == []
        await progress.progress.AwardXp(given, **as_role("service", "back"))


async def test_what_was_awarded_is_answered_again_when_the_bound_is_less(
    postgres_url: str,
) -> None:
    async with serving(postgres_url) as progress:
        request = award("ann", 3, metric="pomodoros")
        await progress.progress.AwardXp(request, **ANN)
        less = catalog.Metric(metric="pomodoros", max_self_award=2)
        await progress.catalog.PutMetric(catalog.PutMetricRequest(metric=less))
        assert (await progress.progress.AwardXp(request, **ANN)).replayed


async def test_where_backends_grade_users_submit_nothing(postgres_url: str) -> None:
    async with serving(postgres_url, self_graded="refuse") as progress:
        for level_id in ("l1", "nothing"):
            async with refused(PermissionDenied, "SELF_GRADED_REFUSED"):
                await progress.progress.SubmitProgress(submission("ann", level_id), **ANN)
        request = submission("ann", "l1")
        await progress.progress.SubmitProgress(request, **as_role("service", "back"))
        await progress.progress.AwardXp(award("ann", 1, metric="pomodoros"), **ANN)


async def test_a_user_hides_itself(postgres_url: str) -> None:
    async with serving(postgres_url) as progress:
        await progress.award("ann", 5)
        hidden = catalog.User(display_name="Ann", hidden=True)
        await progress.catalog.PutUser(catalog.PutUserRequest(user=hidden), **ANN)
        assert await progress.top() == []
        assert (await progress.acts("ann"))[0] == ("PutUser", "ann", "hidden")


@pytest.mark.parametrize("role", ["service", "admin"])
async def test_who_is_not_a_user_is_bound_by_none_of_it(postgres_url: str, role: str) -> None:
    async with serving(postgres_url, self_graded="refuse", max_late="PT0S") as progress:
        call = progress.progress.SubmitProgress
        answer = await call(submission("ann", "l1"), **as_role(role, "ann"))
        assert answer.status == pb.LEVEL_STATUS_COMPLETED
        await progress.progress.AwardXp(award("ann", 50), **as_role(role, "ann"))
