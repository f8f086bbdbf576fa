"""PutCourse, GetCourse: definitions, their versions, and what is refused."""

import asyncio

from progress_service.domain.bounds import MAX_SCORE
from shared.errors import Conflict, InvalidInput, LaurelError, NotFound
from shared.gen.laurel.progress.v1 import catalog_pb2 as pb
from tests.progress import Progress, level, refused

SEQUENTIAL = pb.UNLOCK_MODE_SEQUENTIAL

PREREQUISITES = pb.UNLOCK_MODE_PREREQUISITES


async def get_course(progress: Progress, course_id: str = "c") -> pb.Course:
    request = pb.GetCourseRequest(course_id=course_id)
    return (await progress.catalog.GetCourse(request)).course


def fields_of(errors: list[LaurelError]) -> list[str]:
    return [violation.field for violation in errors[0].violations]


async def test_a_course_is_kept_as_it_was_declared(progress: Progress) -> None:
    declared = pb.Course(
        course_id="c",
        title='A "course" \\ 李',
        unlock_mode=PREREQUISITES,
        sections=[
            pb.Section(
                section_id="s1",
                title="One",
                levels=[
                    level("b", title="B", xp_reward=MAX_SCORE, max_marks=MAX_SCORE, pass_ratio=1),
                    level("a", prerequisite_level_ids=["b"], question_count=2**31 - 1),
                ],
            ),
            pb.Section(section_id="empty"),
            pb.Section(
                section_id="s2",
                levels=[
                    level("d", rewards=[pb.MetricReward(metric="pomodoros", amount=1)]),
                ],
            ),
        ],
    )
    declared.sections[0].levels[0].min_time_spent.FromMilliseconds(1_500)
    declared.version = 99
    stored = (await progress.catalog.PutCourse(pb.PutCourseRequest(course=declared))).course
    declared.version = 1
    assert stored == declared == await get_course(progress)


async def test_the_same_definition_again_is_no_new_version(progress: Progress) -> None:
    versions = [
        (await progress.put_course("c", *levels)).course.version
        for levels in (
            [level("l1")],
            [level("l1")],
            [level("l1", xp_reward=51)],
            [level("l1", xp_reward=51)],
            [level("l1")],
        )
    ]
    assert versions == [1, 1, 2, 2, 3]
    unspecified = pb.UNLOCK_MODE_UNSPECIFIED
    stored = await progress.put_course("d", level("m1"), mode=unspecified)
    assert stored.course.unlock_mode == SEQUENTIAL


async def test_a_definition_that_cannot_be_is_refused_with_every_field_named(
    progress: Progress,
) -> None:
    def waiting(level_id: str, *required: str) -> pb.Level:
        return level(level_id, prerequisite_level_ids=required)

    at = "course.sections[0].levels[0]"
    for levels, fields in (
        ([], ["course.sections"]),
        ([level("a"), level("a")], ["course.sections[0].levels[1].level_id"]),
        ([waiting("a", "a")], [f"{at}.prerequisite_level_ids"]),
        ([waiting("a", "z")], [f"{at}.prerequisite_level_ids"]),
        ([waiting("a", "b"), waiting("b", "a")], ["course.sections"]),
        ([level("a", xp_reward=-1)], [f"{at}.xp_reward"]),
        ([level("a", max_marks=MAX_SCORE + 1)], [f"{at}.max_marks"]),
        ([level("a", pass_ratio=float("nan"))], [f"{at}.pass_ratio"]),
        ([level("a", pass_ratio=float("inf"))], [f"{at}.pass_ratio"]),
        ([level("a", pass_ratio=1.5)], [f"{at}.pass_ratio"]),
        ([level("a", question_count=-1)], [f"{at}.question_count"]),
        (
            [level("a", rewards=[pb.MetricReward(metric="nothing", amount=1)])],
            [f"{at}.rewards[0].metric"],
        ),
        (
            [level("", xp_reward=-1, max_marks=-1)],
            [f"{at}.level_id", f"{at}.xp_reward", f"{at}.max_marks"],
        ),
        ([level(f"l{n}") for n in range(5_001)], ["course.sections[0].levels"]),
    ):
        async with refused(InvalidInput, "INVALID_FIELD") as errors:
            await progress.put_course("c", *levels, mode=PREREQUISITES)
        assert fields_of(errors) == fields
        if len(levels) == 2 and fields == ["course.sections"]:
            named = errors[0].violations[0].description.removeprefix("cycle: ")
            assert named in {"a -> b -> a", "b -> a -> b"}
    async with refused(InvalidInput, "INVALID_FIELD") as errors:
        await progress.put_course("c", *(level(f"l{n}", max_marks=MAX_SCORE) for n in range(1_025)))
    assert fields_of(errors) == ["course.sections"]
    for course, field in (
        (pb.Course(), "course.course_id"),
        (pb.Course(course_id="c", unlock_mode=9), "course.unlock_mode"),  # type: ignore[arg-type]
    ):
        async with refused(InvalidInput, "INVALID_FIELD") as errors:
            await progress.catalog.PutCourse(pb.PutCourseRequest(course=course))
        assert field in fields_of(errors)
    async with refused(NotFound, "COURSE_NOT_FOUND") as errors:
        await get_course(progress)
    assert errors[0].metadata == {"course_id": "c"}


async def test_a_level_belongs_to_one_course_for_good(progress: Progress) -> None:
    await progress.put_course("c", level("l1"), level("l2"))
    await progress.put_course("c", level("l1"))
    for taken in ("l1", "l2"):
        async with refused(Conflict, "LEVEL_ID_TAKEN") as errors:
            await progress.put_course("d", level("m1"), level(taken))
        assert errors[0].metadata == {taken: "c"}
    async with refused(NotFound, "COURSE_NOT_FOUND"):
        await get_course(progress, "d")
    # What was refused has taken nothing, and a dropped level may come back.
    await progress.put_course("e", level("m1"))
    assert (await progress.put_course("c", level("l2"))).course.version == 3


async def test_a_course_may_be_edited_by_many_at_once(progress: Progress) -> None:
    edits = await asyncio.gather(
        *(progress.put_course("c", level("l1", xp_reward=n)) for n in range(12))
    )
    assert sorted(edit.course.version for edit in edits) == list(range(1, 13))
    last = max((edit.course for edit in edits), key=lambda course: course.version)
    assert await get_course(progress) == last
