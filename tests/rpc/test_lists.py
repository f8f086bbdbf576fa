"""Lists: stable pages, page sizes, and tokens that belong to one list alone."""

from shared.errors import InvalidInput, NotFound
from shared.gen.laurel.progress.v1 import catalog_pb2 as catalog
from tests.listings import Lister, filled, lists
from tests.progress import Progress, level, refused


async def whole(lister: Lister, size: int) -> list[str]:
    found, token = await lister(size, "")
    while token:
        page, token = await lister(size, token)
        assert 0 < len(page) <= size
        found += page
    return found


async def test_the_pages_of_every_size_make_the_whole_list(progress: Progress) -> None:
    await filled(progress)
    for name, lister in lists(progress).items():
        everything, token = await lister(500, "")
        assert token == ""
        assert len(everything) == len({*everything}) >= 4, name
        for size in (1, 2, 3, len(everything), len(everything) + 1):
            assert await whole(lister, size) == everything, (name, size)


async def test_a_token_of_another_list_or_of_none_is_refused(progress: Progress) -> None:
    await filled(progress)
    every = lists(progress)
    tokens = {name: (await lister(1, ""))[1] for name, lister in every.items()}
    assert all(tokens.values())
    for name, lister in every.items():
        foreign = [token for other, token in tokens.items() if other != name]
        for token in (*foreign, "x", "é", tokens[name][:-3], "A" * 5_000, "W10"):
            async with refused(InvalidInput, "INVALID_PAGE_TOKEN") as errors:
                await lister(1, token)
            assert [violation.field for violation in errors[0].violations] == ["page_token"]


async def test_what_is_added_meanwhile_does_not_move_a_page(progress: Progress) -> None:
    await filled(progress)
    every = lists(progress)
    newest_first = ("of a user", "of a level", "of a course", "of all three", "entries")
    before = {name: await whole(every[name], 500) for name in newest_first}
    begun = {name: await every[name](2, "") for name in newest_first}
    for n in range(3):
        await progress.submit("u0", "l0", 9 + n // 2)
        await progress.award("u0", 1)
    for name in newest_first:
        found, token = begun[name]
        while token:
            page, token = await every[name](2, token)
            found += page
        assert found == before[name], name
    found, token = await every["users"](4, "")
    await progress.put_users("a", "u3x")
    rest, _ = await every["users"](500, token)
    assert [*found, *rest] == ["u0", "u1", "u2", "u3", "u3x", "u4", "u5", "u6"]


async def test_a_page_holds_50_unless_said_otherwise_and_never_more_than_500(
    progress: Progress,
) -> None:
    await progress.put_users("ann")
    async with progress.sql() as sql:
        await sql.execute(
            """INSERT INTO users (user_id, display_name, avatar_url, time_zone, hidden)
               SELECT 'u' || n, '', '', '', false FROM generate_series(1, 600) n"""
        )
    for size, expected in ((0, 50), (500, 500), (501, 500), (2**31 - 1, 500)):
        request = catalog.ListUsersRequest(page_size=size)
        assert len((await progress.catalog.ListUsers(request)).users) == expected
    for lister in lists(progress).values():
        async with refused(InvalidInput, "INVALID_FIELD") as errors:
            await lister(-1, "")
        assert [violation.field for violation in errors[0].violations] == ["page_size"]


async def test_attempts_are_listed_newest_first_as_they_were_recorded(progress: Progress) -> None:
    await progress.put_users("ann", "bob")
    await progress.put_course("c", level("l1"), level("l2"))
    given = [("ann", "l1", 1), ("bob", "l1", 2), ("ann", "l2", 3), ("ann", "l1", 4)]
    answers = [await progress.submit(*one, request_id=f"r{n}") for n, one in enumerate(given)]
    listed = await progress.attempts(user_id="ann")
    assert [one.request_id for one in listed] == ["r3", "r2", "r0"]
    assert [one.attempt_id for one in listed] == [answers[n].attempt_id for n in (3, 2, 0)]
    first = listed[0]
    assert (first.user_id, first.level_id, first.marks) == ("ann", "l1", 40)
    assert (first.correct_answers, first.total_questions) == (4, 10)
    assert first.create_time.ToNanoseconds() >= first.occurred_time.ToNanoseconds() - 10**9
    both = await progress.attempts(user_id="ann", level_id="l1")
    assert [one.request_id for one in both] == ["r3", "r0"]
    assert len(await progress.attempts(course_id="c")) == 4
    await progress.put_course("c", level("l2"))
    assert [one.request_id for one in await progress.attempts(level_id="l1")] == ["r3", "r1", "r0"]
    await progress.put_users("cyd")
    assert await progress.attempts(user_id="cyd", course_id="c", level_id="l1") == []


async def test_attempts_of_what_is_unknown_are_not_found(progress: Progress) -> None:
    await progress.put_users("ann")
    await progress.put_course("c", level("l1"))
    known = {"user_id": "ann", "course_id": "c", "level_id": "l1"}
    for name in known:
        kind = name.removesuffix("_id").upper()
        for others in ({}, known):
            async with refused(NotFound, f"{kind}_NOT_FOUND") as errors:
                await progress.attempts(**{**others, name: "nothing"})
            assert errors[0].metadata == {name: "nothing"}


async def test_a_list_without_its_filter_is_refused(progress: Progress) -> None:
    async with refused(InvalidInput, "INVALID_FIELD"):
        await progress.attempts()
    async with refused(InvalidInput, "INVALID_FIELD"):
        await progress.attempts(user_id="a b")
    async with refused(InvalidInput, "INVALID_FIELD"):
        await progress.entries("")
    async with refused(NotFound, "USER_NOT_FOUND"):
        await progress.entries("nobody")
