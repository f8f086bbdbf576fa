"""PutCourse's counts, the answers to every learner and the job's work agree, whatever the edits."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count

from google.protobuf.message import Message
from grpc import aio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared.gen.laurel.progress.v1 import catalog_pb2 as pb
from shared.gen.laurel.progress.v1.progress_pb2 import GetCourseProgressResponse
from shared.status import error_from_rpc
from tests.courses import (
    course_of,
    edit_counts,
    jobs_held,
    preview,
    put_course,
    ratio,
    recalculate,
    told,
    touched,
)
from tests.progress import Progress, submission

USERS = [f"u{n}" for n in range(6)]
LEVELS = ["l1", "l2", "l3", "l4", "l5"]
_examples = count(1)


@dataclass(frozen=True)
class Story:
    """Versions of a course; before each later one some learners submit, some are looked at."""

    versions: list[list[tuple[str, float, list[str]]]]
    modes: list[int]
    submissions: list[list[tuple[str, str, int]]]
    looks: list[list[str]]


@st.composite
def versions(draw: st.DrawFn) -> list[tuple[str, float, list[str]]]:
    ids = draw(st.permutations(draw(st.lists(st.sampled_from(LEVELS), min_size=1, unique=True))))
    return [
        (
            one,
            draw(st.sampled_from([0.0, 0.3, 0.6, 0.9])),
            draw(st.lists(st.sampled_from(ids[:n]), unique=True)) if n else [],
        )
        for n, one in enumerate(ids)
    ]


@st.composite
def stories(draw: st.DrawFn) -> Story:
    number = draw(st.integers(2, 4))
    each = st.tuples(st.sampled_from(USERS), st.sampled_from(LEVELS), st.integers(0, 10))
    return Story(
        [draw(versions()) for _ in range(number)],
        [draw(st.sampled_from([1, 2, 3])) for _ in range(number)],
        [draw(st.lists(each, max_size=25)) for _ in range(number)],
        [draw(st.lists(st.sampled_from(USERS), max_size=2)) for _ in range(number)],
    )


class Telling:
    """A story told to the service, every name of it of this story alone."""

    def __init__(self, progress: Progress) -> None:
        self.progress = progress
        self.prefix = f"x{next(_examples)}-"
        self.course_id = self.prefix + "c"
        self.learners: set[str] = set()

    def course(self, levels: list[tuple[str, float, list[str]]], mode: int) -> pb.Course:
        return course_of(
            *(
                ratio(
                    self.prefix + one,
                    pass_ratio,
                    prerequisite_level_ids=[self.prefix + other for other in required],
                )
                for one, pass_ratio, required in levels
            ),
            course_id=self.course_id,
            mode=mode,
        )

    async def submit(self, user: str, level_id: str, correct: int) -> None:
        sent = submission(self.prefix + user, self.prefix + level_id, correct)
        try:
            await self.progress.progress.SubmitProgress(sent)
        except aio.AioRpcError as error:
            typed = error_from_rpc(error)
            assert typed.reason in {"LEVEL_LOCKED", "LEVEL_NOT_FOUND"}, typed.message
        else:
            self.learners.add(self.prefix + user)

    async def all_progress(self) -> list[GetCourseProgressResponse]:
        return [
            await self.progress.course_progress(user_id, self.course_id)
            for user_id in sorted(self.learners)
        ]


@settings(
    max_examples=12,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(story=stories(), looked_at_before=st.booleans())
async def test_the_counts_are_what_the_learners_are_told_before_and_after(
    progress: Progress, story: Story, looked_at_before: bool
) -> None:
    """Looking first stores every evaluation; without it the counts must see through stale ones."""
    telling = Telling(progress)
    for user in USERS:
        await progress.put_users(telling.prefix + user)
    async with jobs_held(progress):
        for n, (levels, mode) in enumerate(zip(story.versions, story.modes, strict=True)):
            wanted = telling.course(levels, mode)
            before = await telling.all_progress() if n and looked_at_before else []
            seen = await preview(progress, wanted)
            edit = await put_course(progress, wanted)
            assert edit == seen
            if n and looked_at_before:
                after = await telling.all_progress()
                assert edit_counts(edit) == touched(before, after)
            for submitted in story.submissions[n]:
                await telling.submit(*submitted)
            for user in story.looks[n]:
                await progress.course_progress(telling.prefix + user, telling.course_id)
        last = await telling.all_progress()
    await the_job_agrees(telling, last)


async def the_job_agrees(telling: Telling, seen: Sequence[Message]) -> None:
    """It comes to what was told before it ran."""
    await told(recalculate(telling.progress, course_id=telling.course_id))
    assert await telling.all_progress() == seen
