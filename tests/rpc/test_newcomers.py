"""LAUREL_CREATE_USERS: the first call of a user who is not known creates the profile."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from progress_service.settings import ProgressSettings
from shared.errors import NotFound
from shared.gen.laurel.progress.v1 import catalog_pb2 as catalog
from shared.gen.laurel.progress.v1 import progress_pb2 as pb
from tests.access import as_role, bearer
from tests.conftest import running_progress
from tests.progress import Progress, award, level, refused, submission

PICTURE = "https://cdn.example.org/ann.png"
CLAIMS = {"name": "Ann A.", "picture": PICTURE, "zoneinfo": "Asia/Jakarta"}


def as_user(subject: str, **claims: Any) -> dict[str, Any]:
    """A call by a user of whom the token says this."""
    return {"metadata": (("authorization", bearer("user", subject, **claims)),)}


@pytest.fixture
async def open_door(postgres_url: str) -> AsyncIterator[Progress]:
    """A service that takes in whoever has a token."""
    settings = ProgressSettings(postgres_url=postgres_url, drain_seconds=0.5, create_users=True)
    async with running_progress(settings) as progress:
        await progress.put_course("c", level("l1"))
        metric = catalog.Metric(metric="pomodoros", max_self_award=3)
        await progress.catalog.PutMetric(catalog.PutMetricRequest(metric=metric))
        yield progress


async def profile(progress: Progress, user_id: str) -> catalog.User:
    return (await progress.catalog.GetUser(catalog.GetUserRequest(user_id=user_id))).user


FIRST_CALLS: dict[str, Callable[[Progress, str, dict[str, Any]], Any]] = {
    "SubmitProgress": lambda p, u, who: p.progress.SubmitProgress(submission(u, "l1"), **who),
    "AwardXp": lambda p, u, who: p.progress.AwardXp(award(u, 1, metric="pomodoros"), **who),
    "GetUserStats": lambda p, u, who: p.progress.GetUserStats(
        pb.GetUserStatsRequest(user_id=u), **who
    ),
    "GetCourseProgress": lambda p, u, who: p.progress.GetCourseProgress(
        pb.GetCourseProgressRequest(user_id=u, course_id="c"), **who
    ),
    "ListXpEntries": lambda p, u, who: p.progress.ListXpEntries(
        pb.ListXpEntriesRequest(user_id=u), **who
    ),
    "ListAttempts": lambda p, u, who: p.progress.ListAttempts(
        pb.ListAttemptsRequest(user_id=u), **who
    ),
    "GetUser": lambda p, u, who: p.catalog.GetUser(catalog.GetUserRequest(user_id=u), **who),
}


async def test_whatever_the_first_call_is_it_is_answered(open_door: Progress) -> None:
    for n, call in enumerate(FIRST_CALLS.values()):
        # An empty user_id means the caller.
        await call(open_door, "", as_user(f"u{n}", **CLAIMS))
        assert await profile(open_door, f"u{n}") == catalog.User(
            user_id=f"u{n}",
            display_name="Ann A.",
            avatar_url=PICTURE,
            time_zone="Asia/Jakarta",
        )
    assert await open_door.top(metric="pomodoros") == [(1, "u1", 1)]


async def test_of_many_first_calls_at_once_all_are_answered_and_there_is_one_profile(
    open_door: Progress,
) -> None:
    calls = [
        call(open_door, "ann", as_user("ann", name=f"Ann {n}"))
        for n in range(4)
        for call in FIRST_CALLS.values()
    ]
    await asyncio.gather(*calls)
    assert (await profile(open_door, "ann")).display_name in {f"Ann {n}" for n in range(4)}
    async with open_door.sql() as sql:
        await open_door.settled()
        created = "SELECT count(*) FROM changes WHERE kind = 2 AND user_id = 'ann'"
        assert await sql.fetchval(created) == 1


async def test_a_profile_that_is_there_stays_as_it_is(open_door: Progress) -> None:
    await open_door.put_users("ann")
    before = await profile(open_door, "ann")
    for call in FIRST_CALLS.values():
        await call(open_door, "ann", as_user("ann", **CLAIMS))
    assert await profile(open_door, "ann") == before


async def test_what_may_not_be_stored_is_left_out(open_door: Progress) -> None:
    claims = {"name": "A\u202enn", "picture": "http://example.org/a.png", "zoneinfo": "Mars/Base"}
    await FIRST_CALLS["GetUserStats"](open_door, "", as_user("ann", **claims))
    assert await profile(open_door, "ann") == catalog.User(user_id="ann")
    await FIRST_CALLS["GetUserStats"](open_door, "", as_user("bob", name="é" * 300))
    assert (await profile(open_door, "bob")).display_name == "é" * 100
    await FIRST_CALLS["GetUserStats"](open_door, "", as_user("cyd"))
    assert await profile(open_door, "cyd") == catalog.User(user_id="cyd")


async def test_nobody_is_created_by_another(open_door: Progress) -> None:
    for role in ("service", "admin"):
        for call in FIRST_CALLS.values():
            async with refused(NotFound, "USER_NOT_FOUND"):
                await call(open_door, "ann", as_role(role, "ann"))


async def test_reads_of_courses_and_boards_create_nobody(open_door: Progress) -> None:
    ann = as_user("ann", **CLAIMS)
    await open_door.catalog.ListCourses(catalog.ListCoursesRequest(), **ann)
    await open_door.catalog.GetCourse(catalog.GetCourseRequest(course_id="c"), **ann)
    assert await open_door.top() == []
    async with refused(NotFound, "USER_NOT_FOUND"):
        await profile(open_door, "ann")


async def test_what_else_is_missing_creates_nobody(open_door: Progress) -> None:
    await FIRST_CALLS["GetUserStats"](open_door, "", as_user("ann"))
    async with refused(NotFound, "LEVEL_NOT_FOUND"):
        await open_door.progress.SubmitProgress(submission("", "l9"), **as_user("ann"))


async def test_nobody_is_created_unless_the_setting_says_so(progress: Progress) -> None:
    await progress.put_course("c", level("l1"))
    metric = catalog.Metric(metric="pomodoros", max_self_award=3)
    await progress.catalog.PutMetric(catalog.PutMetricRequest(metric=metric))
    for call in FIRST_CALLS.values():
        async with refused(NotFound, "USER_NOT_FOUND"):
            await call(progress, "", as_user("ann", **CLAIMS))
