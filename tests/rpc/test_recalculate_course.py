"""RecalculateCourse: every learner of a course judged anew, and those who follow it."""

from progress_service.recalculator import MAX_FOLLOWERS
from progress_service.settings import ProgressSettings
from shared.errors import InvalidInput, NotFound, ResourceExhausted, Unavailable
from shared.gen.laurel.progress.v1 import admin_pb2 as pb
from tests.conftest import running_progress
from tests.courses import (
    USERS,
    completed,
    counts,
    edited,
    jobs_held,
    judged_by,
    learners,
    ratio,
    recalculate,
    told,
)
from tests.progress import Progress, held, level, refused


async def test_everyone_is_judged_and_counted_and_again_nobody_changes(progress: Progress) -> None:
    await learners(progress)
    # 9 was completed before; 5 to 8 are now.
    assert await edited(progress, ratio("l1", 0.5), level("l2")) == (10, 10, 4, 2)
    assert await completed(progress) == 5
    assert [await judged_by(progress, user_id) for user_id in USERS] == [2] * 10
    assert counts((await told(recalculate(progress)))[-1]) == (10, 10, 0, 2)
    assert await progress.totals("u7") == {"xp": 0, "marks": 70}


async def test_those_whose_share_or_marks_change_are_counted_too(progress: Progress) -> None:
    await learners(progress)
    for levels, changed in (
        ([ratio("l1", 0.9), level("l2"), level("l3")], 1),  # u9 has 1 of 3 instead of 1 of 2
        ([level("l2"), level("l3")], 9),  # nine have marks at l1
        ([ratio("l1", 0.9), level("l2"), level("l3")], 9),
        ([ratio("l1", 0.9, title="Other"), level("l2"), level("l3")], 0),
    ):
        assert (await edited(progress, *levels))[:3] == (10, 10, changed)


async def test_a_job_goes_on_without_its_followers_who_all_see_the_same_one(
    progress: Progress,
) -> None:
    await learners(progress)
    async with held(progress, "u4"):
        await progress.put_course("c", ratio("l1", 0.5), level("l2"))
        calls = [recalculate(progress) for _ in range(3)]
        for call in calls:
            # All but the one who is held.
            assert counts((await told(call, 9))[-1]) == (10, 9, 4, 2)
        calls[0].cancel()
    for call in calls[1:]:
        assert counts((await told(call))[-1]) == (10, 10, 4, 2)
    async with progress.sql() as sql:
        assert await sql.fetchval("SELECT finished FROM course_jobs")


async def test_a_newer_edit_makes_the_job_begin_again_for_the_newer_version(
    progress: Progress,
) -> None:
    await learners(progress)
    async with held(progress, "u9"):
        await progress.put_course("c", ratio("l1", 0.5), level("l2"))
        call = recalculate(progress)
        (*_, before) = await told(call, 9)
        await progress.put_course("c", ratio("l1", 0.3), level("l2"))
    rest = await told(call)
    assert all(now >= was for was, now in zip(counts(before), counts(rest[0]), strict=True))
    assert counts(rest[-1]) == (10, 10, 4, 3)
    assert await completed(progress) == 7


async def test_one_learner_is_judged_at_once_whatever_the_job_does(progress: Progress) -> None:
    await learners(progress)
    await progress.put_users("new")
    async with jobs_held(progress):
        await progress.put_course("c", ratio("l1", 0.5), level("l2"))
        assert list(map(counts, await told(recalculate(progress, "u7")))) == [(1, 1, 1, 2)]
        assert (await judged_by(progress, "u7"), await judged_by(progress, "u8")) == (2, 1)
        assert list(map(counts, await told(recalculate(progress, "u7")))) == [(1, 1, 0, 2)]
        assert list(map(counts, await told(recalculate(progress, "new")))) == [(1, 1, 0, 2)]
        async with held(progress, "u8"), refused(Unavailable, "ROW_BUSY"):
            await told(recalculate(progress, "u8"))


async def test_what_is_not_there_is_not_found_and_nothing_begins(progress: Progress) -> None:
    await learners(progress)
    for course_id, user_id, kind, reason in (
        ("d", "", NotFound, "COURSE_NOT_FOUND"),
        ("d", "u1", NotFound, "COURSE_NOT_FOUND"),
        ("c", "nobody", NotFound, "USER_NOT_FOUND"),
        ("", "", InvalidInput, "INVALID_FIELD"),
        ("c", "a b", InvalidInput, "INVALID_FIELD"),
    ):
        async with refused(kind, reason):
            await told(recalculate(progress, user_id, course_id))
    async with progress.sql() as sql:
        assert await sql.fetchval("SELECT count(*) FROM course_jobs") == 0
        actions = "SELECT count(*) FROM admin_actions WHERE method LIKE '%RecalculateCourse'"
        assert await sql.fetchval(actions) == 0


async def test_a_call_is_recorded_with_who_made_it(progress: Progress) -> None:
    await learners(progress)
    for user_id in ("", "u1"):
        await told(recalculate(progress, user_id, **{"x-laurel-actor": "root"}))
    found = await progress.admin.ListAdminActions(pb.ListAdminActionsRequest(page_size=2))
    method = "laurel.progress.v1.ProgressAdminService/RecalculateCourse"
    assert [(one.method, one.actor, one.user_id, one.detail) for one in found.actions] == [
        (method, "root", "u1", "course c"),
        (method, "root", "", "course c: every learner"),
    ]


async def test_a_server_that_drains_ends_the_stream_and_the_next_one_ends_the_job(
    postgres_url: str,
) -> None:
    settings = ProgressSettings(postgres_url=postgres_url, drain_seconds=5)
    async with running_progress(settings) as progress:
        await learners(progress)
        async with held(progress, "u4"):
            await progress.put_course("c", ratio("l1", 0.5), level("l2"))
            call = recalculate(progress)
            await told(call, 0)
            progress.app.server.draining.set()
            async with refused(Unavailable, "DRAINING"):
                await told(call)
    async with running_progress(settings) as progress:
        assert (await told(recalculate(progress)))[-1].users_done == 10
        assert await completed(progress) == 5


async def test_followers_are_bounded(progress: Progress) -> None:
    await learners(progress)
    async with held(progress, "u4"):
        await progress.put_course("c", ratio("l1", 0.5), level("l2"))
        calls = [recalculate(progress) for _ in range(MAX_FOLLOWERS)]
        for call in calls:
            await told(call, 0)
        async with refused(ResourceExhausted, "TOO_MANY_RECALCULATIONS"):
            await told(recalculate(progress))
        for call in calls:
            call.cancel()
