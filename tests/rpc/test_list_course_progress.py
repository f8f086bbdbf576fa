"""ListCourseProgress: a course's learners, a page at a time."""

from datetime import UTC, datetime, timedelta

from shared.errors import InvalidInput, NotFound
from shared.gen.laurel.progress.v1 import admin_pb2
from shared.gen.laurel.progress.v1 import progress_pb2 as pb
from tests.progress import Progress, level, refused


async def page(
    progress: Progress, size: int = 0, token: str = "", course_id: str = "c"
) -> pb.ListCourseProgressResponse:
    request = pb.ListCourseProgressRequest(course_id=course_id, page_size=size, page_token=token)
    return await progress.progress.ListCourseProgress(request)


async def test_every_learner_is_listed_with_the_course_and_the_newest_attempt(
    progress: Progress,
) -> None:
    await progress.put_users("ann", "Bob", "eve")
    await progress.put_course("c", level("l1"), level("l2"))
    await progress.put_course("d", level("m1"))
    days = [datetime(2024, 5, day, tzinfo=UTC) for day in (3, 1, 2)]
    for correct, day in zip((10, 4, 8), days, strict=True):
        await progress.submit("ann", "l1" if correct > 5 else "l2", correct, occurred_time=day)
    await progress.submit("Bob", "l1", 0, occurred_time=days[1])
    await progress.submit("eve", "m1")
    found = await page(progress)
    assert [(one.user_id, one.course.levels_completed) for one in found.learners] == [
        ("Bob", 0),
        ("ann", 1),
    ]
    assert not found.next_page_token
    ann = found.learners[1]
    assert ann.last_attempt_time.ToDatetime(UTC) == max(days)
    assert ann.course == (await progress.course_progress("ann", "c")).course
    assert ann.course == pb.CourseSummary(
        course_id="c",
        course_version=1,
        levels_completed=1,
        levels_total=2,
        completion_ratio=0.5,
        marks=140,
        max_marks=200,
    )


async def test_pages_stand_still_while_learners_come(progress: Progress) -> None:
    users = [f"u{n:02}" for n in range(0, 24, 2)]
    await progress.put_users(*users, "u05", "u21", "u99")
    await progress.put_course("c", level("l1"))
    for user_id in users:
        await progress.submit(user_id, "l1")
    listed: list[str] = []
    token = ""
    for newcomer in ("u05", "u21", "u99"):
        found = await page(progress, 4, token)
        listed += [one.user_id for one in found.learners]
        token = found.next_page_token
        await progress.submit(newcomer, "l1")
    found = await page(progress, 4, token)
    listed += [one.user_id for one in found.learners]
    assert not found.next_page_token
    # Whoever came behind the page that was read is in a later one; nobody is there twice.
    assert listed == sorted([*users, "u21", "u99"])


async def test_a_page_holds_as_many_as_asked_for_and_500_at_most(progress: Progress) -> None:
    await progress.put_course("c", level("l1"))
    async with progress.sql() as sql:
        await sql.execute(
            """INSERT INTO course_progress
               SELECT 'u' || n, 'c', 1, 0, 0, now() + n * interval '1 s'
               FROM generate_series(1000, 1600) n"""
        )
    sizes = [(0, 50), (1, 1), (500, 500), (501, 500), (2**31 - 1, 500)]
    for asked, got in sizes:
        assert len((await page(progress, asked)).learners) == got
    last = await page(progress, 500, (await page(progress, 101)).next_page_token)
    assert len(last.learners) == 500
    assert not last.next_page_token


async def test_erased_users_are_no_learners(progress: Progress) -> None:
    await progress.put_users("ann", "bob")
    await progress.put_course("c", level("l1"))
    for user_id in ("ann", "bob"):
        await progress.submit(user_id, "l1")
    await progress.admin.EraseUser(admin_pb2.EraseUserRequest(user_id="ann"))
    assert [one.user_id for one in (await page(progress)).learners] == ["bob"]
    edit = await progress.put_course("c", level("l1"), level("l2"))
    assert (edit.users_affected, edit.users_completion_changed) == (1, 1)
    request = admin_pb2.RecalculateCourseRequest(course_id="c")
    answers = [answer async for answer in progress.admin.RecalculateCourse(request)]
    assert (answers[-1].users_total, answers[-1].users_done) == (1, 1)


async def test_a_list_of_no_course_and_a_foreign_token_are_refused(progress: Progress) -> None:
    await progress.put_users("ann", "bob")
    for course_id, level_id in (("c", "l1"), ("d", "m1")):
        await progress.put_course(course_id, level(level_id))
        for user_id in ("ann", "bob"):
            moment = datetime.now(UTC) - timedelta(days=1)
            await progress.submit(user_id, level_id, occurred_time=moment)
    async with refused(NotFound, "COURSE_NOT_FOUND") as errors:
        await page(progress, course_id="e")
    assert errors[0].metadata == {"course_id": "e"}
    for size, token, course_id in ((-1, "", "c"), (0, "", "c d"), (0, "", "")):
        async with refused(InvalidInput, "INVALID_FIELD"):
            await page(progress, size, token, course_id)
    token = (await page(progress, 1)).next_page_token
    for foreign, course_id in ((token, "d"), (token[:-2], "c"), ("x", "c")):
        async with refused(InvalidInput, "INVALID_PAGE_TOKEN"):
            await page(progress, 1, foreign, course_id)
