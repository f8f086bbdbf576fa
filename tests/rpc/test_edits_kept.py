"""What an edit of a course leaves to those who learn in it, and what it changes for them."""

from collections.abc import Callable

import pytest

from shared.errors import FailedPrecondition, NotFound
from shared.gen.laurel.progress.v1 import catalog_pb2 as catalog
from shared.gen.laurel.progress.v1 import progress_pb2 as pb
from tests.courses import listed, ratio, statuses
from tests.progress import Progress, level, refused

SEQUENTIAL = catalog.UNLOCK_MODE_SEQUENTIAL
LOCKED = pb.LEVEL_STATUS_LOCKED
AVAILABLE = pb.LEVEL_STATUS_AVAILABLE
IN_PROGRESS = pb.LEVEL_STATUS_IN_PROGRESS
COMPLETED = pb.LEVEL_STATUS_COMPLETED


@pytest.mark.parametrize("look", [listed, statuses])
async def test_no_edit_takes_back_what_was_completed_or_earned(
    progress: Progress, look: Callable[[Progress], object]
) -> None:
    await progress.put_users("ann")
    await progress.put_course("c", ratio("l1", 0.5), ratio("l2", 0.5))
    for level_id in ("l1", "l2"):
        await progress.submit("ann", level_id, 5)
    for levels in (
        [ratio("l1", 1.0, xp_reward=1), ratio("l2", 1.0)],
        [ratio("l3", 0.5), ratio("l2", 1.0)],
        [ratio("l3", 0.5)],
        [ratio("l1", 0.9), ratio("l2", 0.9, max_marks=0)],
    ):
        await progress.put_course("c", *levels, mode=SEQUENTIAL)
        await look(progress)  # type: ignore[misc]
        found = await progress.course_progress("ann", "c")
        kept = [one for one in found.levels if one.level_id != "l3"]
        assert [one.status for one in kept] == [COMPLETED] * len(kept)
        assert [one.xp_earned for one in kept] == [50] * len(kept)
        assert found.course.levels_completed == len(kept)
        assert found.course.completion_ratio == len(kept) / len(levels)
        assert found.course.marks == 50 * len(kept)
        assert await progress.totals("ann") == {"xp": 100, "marks": 100}
    assert len(await progress.attempts(user_id="ann")) == 2


async def test_a_level_that_disappears_leaves_the_count_and_counts_again_when_it_is_back(
    progress: Progress,
) -> None:
    await progress.put_users("ann")
    await progress.put_course("c", level("l1"), level("l2"))
    await progress.submit("ann", "l1")
    await progress.submit("ann", "l2")
    await progress.put_course("c", level("l1"))
    found = await progress.course_progress("ann", "c")
    assert (found.course.levels_completed, found.course.completion_ratio) == (1, 1.0)
    assert (found.course.marks, found.course.max_marks) == (100, 100)
    async with refused(NotFound, "LEVEL_NOT_FOUND"):
        await progress.submit("ann", "l2")
    assert len(await progress.attempts(user_id="ann", level_id="l2")) == 1
    assert await progress.totals("ann") == {"xp": 100, "marks": 200}
    await progress.put_course("c", level("l1"), level("l2"), level("l3"))
    found = await progress.course_progress("ann", "c")
    assert (found.course.levels_completed, found.course.levels_total) == (2, 3)
    assert found.levels[1].xp_earned == 50
    assert (await progress.submit("ann", "l2")).xp_earned == 0


async def test_an_archived_course_is_read_and_takes_no_submissions_until_it_is_back(
    progress: Progress,
) -> None:
    await progress.put_users("ann", "bob")
    section = catalog.Section(section_id="s", levels=[level("l1"), level("l2")])
    course = catalog.Course(course_id="c", sections=[section], unlock_mode=SEQUENTIAL)
    await progress.catalog.PutCourse(catalog.PutCourseRequest(course=course))
    first = await progress.submit("ann", "l1", request_id="once")
    course.archived = True
    edit = await progress.catalog.PutCourse(catalog.PutCourseRequest(course=course))
    assert (edit.course.archived, edit.users_affected, edit.users_completion_changed) == (1, 1, 0)
    for user_id, level_id in (("ann", "l2"), ("bob", "l1")):
        async with refused(FailedPrecondition, "COURSE_ARCHIVED") as errors:
            await progress.submit(user_id, level_id)
        assert errors[0].metadata == {"course_id": "c"}
    # A replay is no submission.
    again = await progress.submit("ann", "l1", request_id="once")
    assert again.replayed
    assert again.attempt_id == first.attempt_id
    assert await statuses(progress) == [COMPLETED, AVAILABLE]
    assert [one.user_id for one in await listed(progress)] == ["ann"]
    course.archived = False
    await progress.catalog.PutCourse(catalog.PutCourseRequest(course=course))
    assert (await progress.submit("ann", "l2")).course.completion_ratio == 1.0


async def test_an_ungraded_level_completes_with_one_of_one(progress: Progress) -> None:
    await progress.put_users("ann")
    text = level("text", max_marks=0, pass_ratio=1, xp_reward=5)
    await progress.put_course("c", text, level("quiz"), mode=SEQUENTIAL)
    answer = await progress.submit("ann", "text", 1, 1)
    assert (answer.status, answer.marks, answer.xp_earned) == (COMPLETED, 0, 5)
    assert answer.unlocked_level_ids == ["quiz"]
    assert (answer.course.completion_ratio, answer.course.max_marks) == (0.5, 100)
    assert await progress.totals("ann") == {"xp": 5}


async def test_sections_follow_an_edit_too(progress: Progress) -> None:
    await progress.put_users("ann")
    levels = [ratio("l1", 0.9), level("l2"), level("l3")]

    async def put(*sections: list[catalog.Level]) -> None:
        course = catalog.Course(course_id="c", unlock_mode=SEQUENTIAL)
        for n, held_ in enumerate(sections):
            course.sections.append(catalog.Section(section_id=f"s{n}", levels=held_))
        await progress.catalog.PutCourse(catalog.PutCourseRequest(course=course))

    async def sections() -> list[tuple[int, int, int]]:
        found = await progress.course_progress("ann", "c")
        return [(one.status, one.levels_completed, one.levels_total) for one in found.sections]

    await put(levels[:2], levels[2:])
    await progress.submit("ann", "l1", 6)
    assert await sections() == [(IN_PROGRESS, 0, 2), (LOCKED, 0, 1)]
    levels[0] = ratio("l1", 0.5)
    await put(levels[:1], levels[1:])
    assert await sections() == [(COMPLETED, 1, 1), (AVAILABLE, 0, 2)]
