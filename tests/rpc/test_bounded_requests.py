"""Odd values in requests: each is refused by name, in an answer that every client can take."""

import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from shared.errors import InvalidInput
from shared.gen.laurel.progress.v1 import catalog_pb2
from shared.gen.laurel.types.v1 import types_pb2
from tests.imports import attempt, batch, counts, import_all
from tests.progress import Progress, award, level, refused


@pytest.fixture
async def ready(progress: Progress) -> Progress:
    await progress.put_users("ann")
    await progress.put_course("c", level("l1"))
    return progress


NOW = 1_700_000_000


@pytest.mark.parametrize("nanos", [-1, 1_000_000_000, 2**31 - 1, -(2**31)])
async def test_nanos_that_make_up_a_second_are_no_time(ready: Progress, nanos: int) -> None:
    odd = Timestamp(seconds=NOW, nanos=nanos)
    for call in (
        ready.submit("ann", "l1", occurred_time=odd),
        ready.award("ann", 1, occurred_time=odd),
    ):
        async with refused(InvalidInput, "INVALID_FIELD") as errors:
            await call
        assert [one.field for one in errors[0].violations] == ["occurred_time"]
    (answer,) = await import_all(ready, [batch(attempt("ann", "l1", 1, "a", occurred_time=odd))])
    assert counts(answer) == (1, 0, 0, 1, 0)


@pytest.mark.parametrize(
    ("seconds", "nanos"), [(1, -1), (-1, 1), (0, 1_000_000_000), (5, 2**31 - 1), (0, -1), (-1, 0)]
)
async def test_a_duration_has_one_sign_and_is_not_negative(
    ready: Progress, seconds: int, nanos: int
) -> None:
    odd = Duration(seconds=seconds, nanos=nanos)
    async with refused(InvalidInput, "INVALID_FIELD") as errors:
        await ready.submit("ann", "l1", time_spent=odd)
    assert [one.field for one in errors[0].violations] == ["time_spent"]
    async with refused(InvalidInput, "INVALID_FIELD") as errors:
        await ready.put_course("d", level("m1"), level("m2", min_time_spent=odd))
    (violation,) = errors[0].violations
    assert violation.field == "course.sections[0].levels[1].min_time_spent"


async def test_a_refusal_fits_into_trailers_whatever_was_sent(progress: Progress) -> None:
    long = "\N{SNOWMAN}" * 20_000
    levels = [
        level(f"l{n}", prerequisite_level_ids=[long, long], pass_ratio=7, title=long)
        for n in range(20)
    ]
    async with refused(InvalidInput, "INVALID_FIELD") as errors:
        mode = catalog_pb2.UNLOCK_MODE_PREREQUISITES
        await progress.put_course("c", *levels, mode=mode)
    assert 1 <= len(errors[0].violations) <= 10
    rewards = [catalog_pb2.MetricReward(metric=long, amount=1)]
    async with refused(InvalidInput, "INVALID_FIELD") as errors:
        await progress.put_course("c", level("l1", rewards=rewards))
    assert "rewards[0].metric" in errors[0].violations[0].field


async def test_marks_are_kept_of_all_time_alone(ready: Progress) -> None:
    async def put(metric: str, *windows: int) -> list[int]:
        sent = catalog_pb2.Metric(metric=metric, windows=windows)  # type: ignore[arg-type]
        answer = await ready.catalog.PutMetric(catalog_pb2.PutMetricRequest(metric=sent))
        return list(answer.metric.windows)

    assert await put("marks") == [types_pb2.WINDOW_ALL_TIME]
    assert await put("marks", types_pb2.WINDOW_ALL_TIME) == [types_pb2.WINDOW_ALL_TIME]
    async with refused(InvalidInput, "INVALID_FIELD"):
        await put("marks", types_pb2.WINDOW_ALL_TIME, types_pb2.WINDOW_DAY)
    await ready.submit("ann", "l1")
    week = {"metric": "marks", "window": types_pb2.WINDOW_WEEK}
    assert await ready.top(metric="marks") == [(1, "ann", 100)]
    assert await ready.top(**week) == []
    # Unspecified reads as everywhere: all-time.
    assert await put("steps", types_pb2.WINDOW_UNSPECIFIED) == [types_pb2.WINDOW_ALL_TIME]
    assert await put("steps") == []


@pytest.mark.parametrize(
    "avatar_url",
    ["https://", "https:///a.png", "https://:443/", "https://[x/", "https://a:99999/", "http://a/"],
)
async def test_an_avatar_is_at_a_host(progress: Progress, avatar_url: str) -> None:
    user = catalog_pb2.User(user_id="ann", avatar_url=avatar_url)
    async with refused(InvalidInput, "INVALID_FIELD") as errors:
        await progress.catalog.PutUser(catalog_pb2.PutUserRequest(user=user))
    assert [one.field for one in errors[0].violations] == ["user.avatar_url"]


@pytest.mark.parametrize(
    ("name", "good"), [("a\u202eb", False), ("\u2067a", False), ("א\u200f", True)]
)
async def test_a_name_cannot_turn_the_text_after_it(
    progress: Progress, name: str, *, good: bool
) -> None:
    request = catalog_pb2.PutUserRequest(user=catalog_pb2.User(user_id="ann", display_name=name))
    if good:
        await progress.catalog.PutUser(request)
        return
    async with refused(InvalidInput, "INVALID_FIELD") as errors:
        await progress.catalog.PutUser(request)
    assert [one.field for one in errors[0].violations] == ["user.display_name"]


@pytest.mark.parametrize("zone", ["localtime", "posixrules", "Asia", "../UTC", "UTC\x00", "utc0"])
async def test_a_zone_is_one_of_the_time_zone_database(progress: Progress, zone: str) -> None:
    user = catalog_pb2.User(user_id="ann", time_zone=zone)
    async with refused(InvalidInput, "INVALID_FIELD"):
        await progress.catalog.PutUser(catalog_pb2.PutUserRequest(user=user))


async def test_an_award_may_not_name_what_is_too_long(ready: Progress) -> None:
    async with refused(InvalidInput, "INVALID_FIELD"):
        await ready.progress.AwardXp(award("ann", 1, reference="x" * 129))
