"""CatalogService: users, courses and metrics, and what is refused."""

from typing import Any

from progress_service.domain.bounds import MAX_SCORE
from shared.errors import InvalidInput, LaurelError, NotFound
from shared.gen.laurel.progress.v1 import catalog_pb2 as pb
from shared.gen.laurel.types.v1 import types_pb2
from tests.progress import Progress, refused


async def put_user(progress: Progress, **fields: Any) -> pb.User:
    request = pb.PutUserRequest(user=pb.User(**fields))
    return (await progress.catalog.PutUser(request)).user


async def put_metric(progress: Progress, **fields: Any) -> pb.Metric:
    request = pb.PutMetricRequest(metric=pb.Metric(**fields))
    return (await progress.catalog.PutMetric(request)).metric


async def metrics(progress: Progress) -> list[pb.Metric]:
    return list((await progress.catalog.ListMetrics(pb.ListMetricsRequest())).metrics)


def fields_of(errors: list[LaurelError]) -> list[str]:
    return [violation.field for violation in errors[0].violations]


async def test_a_profile_is_replaced_whole_and_keeps_what_is_earned(progress: Progress) -> None:
    full: dict[str, Any] = {
        "user_id": "ann",
        "display_name": "Ann O'Hara \\ 李",
        "avatar_url": "https://example.com/a.png?x=1&y=%20",
        "time_zone": "Asia/Jakarta",
        "hidden": True,
    }
    assert await put_user(progress, **full) == pb.User(**full)
    found = await progress.catalog.GetUser(pb.GetUserRequest(user_id="ann"))
    assert found.user == pb.User(**full)
    await progress.award("ann", 5)
    assert await put_user(progress, user_id="ann") == pb.User(user_id="ann")
    found = await progress.catalog.GetUser(pb.GetUserRequest(user_id="ann"))
    assert found.user == pb.User(user_id="ann")
    assert await progress.totals("ann") == {"xp": 5}


async def test_an_invalid_profile_names_its_fields_and_is_not_stored(progress: Progress) -> None:
    for wrong, field in (
        ({"user_id": ""}, "user_id"),
        ({"user_id": "a b"}, "user_id"),
        ({"user_id": "x" * 65}, "user_id"),
        ({"display_name": "x" * 101}, "display_name"),
        ({"display_name": "a\x00b"}, "display_name"),
        ({"display_name": "a\nb"}, "display_name"),
        ({"avatar_url": "http://example.com/a.png"}, "avatar_url"),
        ({"avatar_url": "javascript:alert(1)"}, "avatar_url"),
        ({"avatar_url": "https://" + "x" * 512}, "avatar_url"),
        ({"avatar_url": "https://example.com/a b"}, "avatar_url"),
        ({"time_zone": "Mars/Olympus"}, "time_zone"),
        ({"time_zone": "../../etc/passwd"}, "time_zone"),
        ({"time_zone": "+07:00"}, "time_zone"),
    ):
        async with refused(InvalidInput, "INVALID_FIELD") as errors:
            await put_user(progress, **{"user_id": "ann"} | wrong)
        assert fields_of(errors) == [f"user.{field}"], wrong
    async with refused(InvalidInput, "INVALID_FIELD") as errors:
        await progress.catalog.PutUser(pb.PutUserRequest())
    assert fields_of(errors) == ["user"]
    async with refused(NotFound, "USER_NOT_FOUND"):
        await progress.catalog.GetUser(pb.GetUserRequest(user_id="ann"))


async def list_users(progress: Progress, prefix: str, page_size: int = 0) -> list[str]:
    request = pb.ListUsersRequest(prefix=prefix, page_size=page_size)
    found: list[str] = []
    while True:
        page = await progress.catalog.ListUsers(request)
        assert len(page.users) <= (page_size or 50)
        found += [user.user_id for user in page.users]
        request.page_token = page.next_page_token
        if not request.page_token:
            return found


async def test_users_are_listed_bytewise_by_the_start_of_their_id_or_name(
    progress: Progress,
) -> None:
    names = {
        "u_1": "Élise",
        "uX1": "100% Ann",
        "a.b": "ann",
        "Zed": "a_b!",
        "zed": "Anton",
        "_": "a!b",
        "b1": "ÀNNA",
    }
    for user_id, name in names.items():
        await put_user(progress, user_id=user_id, display_name=name)
    for size in (1, 3, 0):
        assert await list_users(progress, "", size) == sorted(names, key=str.encode)
    for prefix, expected in {
        "u_": ["u_1"],
        "u": ["uX1", "u_1"],
        "%": [],
        "100%": ["uX1"],
        "a_": ["Zed"],
        "a!": ["_"],
        "an": ["a.b", "zed"],
        "AN": ["a.b", "zed"],
        "Él": ["u_1"],
        "ÀN": ["b1"],
        "\\": [],
        "!": [],
        "_": ["_"],
        "zed": ["zed"],
        "'; --": [],
    }.items():
        assert await list_users(progress, prefix, 1) == expected, prefix


async def test_a_metric_is_stored_with_its_windows_and_listed_by_name(progress: Progress) -> None:
    before = {metric.metric: metric for metric in await metrics(progress)}
    assert list(before) == ["marks", "pomodoros", "problems_solved", "xp"]
    assert list(before["marks"].windows) == [types_pb2.WINDOW_ALL_TIME]
    assert list(before["xp"].windows) == []
    wanted = pb.Metric(
        metric="Reading",
        title="Pages read",
        unit="pages",
        windows=[types_pb2.WINDOW_ALL_TIME, types_pb2.WINDOW_DAY],
        max_self_award=100,
    )
    assert (await progress.catalog.PutMetric(pb.PutMetricRequest(metric=wanted))).metric == wanted
    assert await put_metric(progress, metric="xp", title="Points") == pb.Metric(
        metric="xp", title="Points"
    )
    found = {metric.metric: metric for metric in await metrics(progress)}
    assert list(found) == ["Reading", "marks", "pomodoros", "problems_solved", "xp"]
    assert (found["Reading"], found["xp"].unit) == (wanted, "")


async def test_a_metric_counts_on_the_boards_that_it_kept_when_something_was_earned(
    progress: Progress,
) -> None:
    await progress.put_users("ann")
    every = [1, 2, 3, 4, 5]
    for windows, amount in (([], 1), ([1, 5], 10), ([1], 100), (every, 1_000)):
        await put_metric(progress, metric="reading", windows=windows)
        await progress.award("ann", amount, metric="reading")
    scores = {
        window: (await progress.top(metric="reading", window=window))[0][2] for window in every
    }
    assert scores == {1: 1_111, 2: 1_001, 3: 1_001, 4: 1_001, 5: 1_011}
    found = next(one for one in (await progress.stats("ann")).metrics if one.metric == "reading")
    assert (found.all_time, found.year, found.month, found.week, found.day) == (
        1_111,
        1_001,
        1_001,
        1_001,
        1_011,
    )


async def test_a_metric_that_changes_is_an_administrative_act_and_one_that_does_not_is_none(
    progress: Progress,
) -> None:
    for unit in ("days", "days", "weeks"):
        windows = [types_pb2.WINDOW_ALL_TIME, types_pb2.WINDOW_WEEK]
        metric = pb.Metric(metric="reading", title="Read", unit=unit, windows=windows)
        request = pb.PutMetricRequest(metric=metric)
        await progress.catalog.PutMetric(request, metadata=(("x-laurel-actor", "ops:eve"),))
    assert await progress.acts() == [
        (
            "PutMetric",
            "ops:eve",
            f"reading: 'Read' in '{unit}', ALL_TIME, WEEK, users may award themselves 0",
        )
        for unit in ("weeks", "days")
    ]


async def test_an_invalid_metric_names_its_fields(progress: Progress) -> None:
    for wrong, field in (
        ({"metric": ""}, "metric"),
        ({"metric": "a/b"}, "metric"),
        ({"title": "x" * 201}, "title"),
        ({"unit": "x" * 41}, "unit"),
        ({"windows": [2]}, "windows"),
        ({"windows": [1, 6]}, "windows[1]"),
        ({"max_self_award": -1}, "max_self_award"),
        ({"max_self_award": MAX_SCORE + 1}, "max_self_award"),
    ):
        async with refused(InvalidInput, "INVALID_FIELD") as errors:
            await put_metric(progress, **{"metric": "reading"} | wrong)
        assert fields_of(errors) == [f"metric.{field}"], wrong
    assert "reading" not in [metric.metric for metric in await metrics(progress)]
