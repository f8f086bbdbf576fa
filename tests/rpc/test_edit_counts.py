"""PutCourse's counts: whom an edit touches, told before it and with it."""

import asyncio

import pytest

from progress_service.settings import ProgressSettings
from shared.errors import Conflict, InvalidInput, LaurelError
from shared.gen.laurel.progress.v1 import admin_pb2
from shared.gen.laurel.progress.v1 import catalog_pb2 as pb
from tests.conftest import running_progress
from tests.courses import course_of, edit_counts, jobs_held, preview, put_course, ratio
from tests.progress import Progress, level, refused

SEQUENTIAL = pb.UNLOCK_MODE_SEQUENTIAL


async def test_an_edit_counts_whom_it_touches(progress: Progress) -> None:
    await progress.put_users("ann", "bob", "eve", "new")
    await progress.put_course("c", level("l1"), level("l2"), level("l3"), mode=SEQUENTIAL)
    for user_id, done in (("ann", 3), ("bob", 1)):
        for n in range(done):
            await progress.submit(user_id, f"l{n + 1}")
    await progress.submit("eve", "l1", 0)
    # l2 opens for eve and locks l1 for her; l3 opens for bob; l4 is missing to ann and bob.
    wanted = course_of(level("l2"), level("l1"), level("l3"), level("l4"))
    assert edit_counts(await preview(progress, wanted)) == (3, 1, 2, 2)
    edit = await put_course(progress, wanted)
    assert edit_counts(edit) == (3, 1, 2, 2)
    same = await put_course(progress, wanted)
    assert (same.course.version, edit_counts(same)) == (2, (3, 0, 0, 0))
    assert await preview(progress, wanted) == same


async def test_a_preview_writes_nothing_and_answers_as_the_edit_does(progress: Progress) -> None:
    await progress.put_users("ann")
    tables = ("courses", "course_versions", "levels", "course_jobs", "admin_actions")

    async def stored() -> list[object]:
        async with progress.sql() as sql:
            return [
                [tuple(row) for row in await sql.fetch(f"SELECT * FROM {table} ORDER BY 1, 2")]
                for table in tables
            ]

    empty = await stored()
    first = course_of(ratio("l1", 0.9), level("l2"))
    seen = await preview(progress, first)
    assert (seen.course.version, edit_counts(seen)) == (1, (0, 0, 0, 0))
    assert await stored() == empty
    assert await put_course(progress, first) == seen
    await progress.submit("ann", "l1", 6)
    async with jobs_held(progress):
        before = await stored()
        second = course_of(ratio("l1", 0.5), level("l2"), level("l3"))
        seen = await preview(progress, second)
        assert (seen.course.version, edit_counts(seen)) == (2, (1, 0, 1, 1))
        assert await stored() == before
        assert (await progress.course_progress("ann", "c")).course.course_version == 1
        assert await put_course(progress, second) == seen


async def test_a_preview_refuses_what_the_edit_refuses(progress: Progress) -> None:
    await progress.put_course("d", level("m1"))
    async with refused(Conflict, "LEVEL_ID_TAKEN") as errors:
        await preview(progress, course_of(level("l1"), level("m1")))
    assert errors[0].metadata == {"m1": "d"}
    for wrong in (
        pb.Course(),
        course_of(level("a", prerequisite_level_ids=["a"])),
        course_of(level("a", rewards=[pb.MetricReward(metric="nothing", amount=1)])),
    ):
        told: list[list[LaurelError]] = []
        for call in (preview, put_course):
            async with refused(InvalidInput, "INVALID_FIELD") as errors:
                await call(progress, wrong)
            told.append(errors)
        assert told[0][0].violations == told[1][0].violations


async def test_an_edit_is_recorded_with_who_made_it_and_an_equal_one_is_not(
    progress: Progress,
) -> None:
    request = pb.PutCourseRequest(course=course_of(level("l1")))
    for _ in range(2):
        await progress.catalog.PutCourse(request, metadata=(("x-laurel-actor", "root"),))
    found = await progress.admin.ListAdminActions(admin_pb2.ListAdminActionsRequest())
    assert [(one.method, one.actor, one.user_id) for one in found.actions] == [
        ("laurel.progress.v1.CatalogService/PutCourse", "root", "")
    ]
    assert found.actions[0].detail == "course c: version 1, 1 levels"


async def test_edits_at_once_are_each_counted_against_the_one_before(progress: Progress) -> None:
    await progress.put_users("ann")
    await put_course(progress, course_of(level("l1")))
    await progress.submit("ann", "l1")
    sizes = range(2, 12)
    edits = await asyncio.gather(
        *(
            put_course(progress, course_of(*(level(f"l{n + 1}") for n in range(size))))
            for size in sizes
        )
    )
    in_order = sorted(edits, key=lambda edit: edit.course.version)
    assert [edit.course.version for edit in in_order] == [n + 2 for n in range(len(sizes))]
    assert [edit_counts(edit) for edit in in_order] == [(1, 0, 0, 1)] * len(sizes)


async def test_edits_through_two_replicas_are_each_counted_against_the_one_before(
    postgres_url: str,
) -> None:
    settings_ = ProgressSettings(postgres_url=postgres_url, drain_seconds=0.5)
    async with running_progress(settings_) as one, running_progress(settings_) as other:
        await one.put_users("ann")
        await put_course(one, course_of(level("l1")))
        await one.submit("ann", "l1")
        edits = await asyncio.gather(
            *(
                put_course(
                    (one, other)[n % 2], course_of(*(level(f"l{k + 1}") for k in range(n + 2)))
                )
                for n in range(6)
            )
        )
    in_order = sorted(edits, key=lambda edit: edit.course.version)
    assert [edit.course.version for edit in in_order] == [2, 3, 4, 5, 6, 7]
    assert [edit_counts(edit) for edit in in_order] == [(1, 0, 0, 1)] * 6


@pytest.mark.parametrize("stale", [False, True])
async def test_stale_learners_are_counted_as_they_would_be_told(
    progress: Progress, stale: bool
) -> None:
    """Two stories that differ only in whether anyone looked in between have equal counts."""
    users = ("ann", "bob")
    await progress.put_users(*users)
    await put_course(progress, course_of(ratio("l1", 0.9), level("l2"), level("l3")))
    for user_id, correct in (("ann", 6), ("bob", 3)):
        await progress.submit(user_id, "l1", correct)
    async with jobs_held(progress):
        await put_course(progress, course_of(ratio("l1", 0.5), level("l2"), level("l3")))
        if not stale:
            for user_id in users:
                await progress.course_progress(user_id, "c")
        # Ann has completed l1 by the version before, so l3 opens for her and l2 closes; bob
        # completes l1 by this one.
        edit = await put_course(progress, course_of(ratio("l1", 0.2), level("l3"), level("l2")))
        assert edit_counts(edit) == (2, 1, 2, 1)
