"""Courses under edit as their tests see them: jobs held back or done, and who was judged when."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from grpc import aio

from shared.gen.laurel.progress.v1 import admin_pb2
from shared.gen.laurel.progress.v1 import catalog_pb2 as catalog
from shared.gen.laurel.progress.v1 import progress_pb2 as pb
from tests.progress import Progress, eventually, held, level

USERS = [f"u{n}" for n in range(10)]
Recalculation = aio.UnaryStreamCall[
    admin_pb2.RecalculateCourseRequest, admin_pb2.RecalculateCourseResponse
]


def ratio(level_id: str, pass_ratio: float, **fields: object) -> catalog.Level:
    return level(level_id, pass_ratio=pass_ratio, **fields)


@asynccontextmanager
async def jobs_held(progress: Progress) -> AsyncIterator[None]:
    """No job of a course gets anywhere within the block: learners stay as they were judged."""
    await jobs_done(progress)
    async with progress.sql() as sql:
        await sql.execute(
            """CREATE FUNCTION hold() RETURNS trigger LANGUAGE plpgsql AS
               $$ BEGIN NEW.next_try_time := 'infinity'; RETURN NEW; END $$"""
        )
        await sql.execute(
            """CREATE TRIGGER hold BEFORE INSERT OR UPDATE ON course_jobs
               FOR EACH ROW EXECUTE FUNCTION hold()"""
        )
        yield
        await sql.execute("DROP FUNCTION hold CASCADE")
        await sql.execute("UPDATE course_jobs SET next_try_time = now()")


async def jobs_done(progress: Progress) -> None:
    """Until every learner is judged by the current version."""
    async with progress.sql() as sql:

        async def done() -> bool:
            return not await sql.fetchval("SELECT count(*) FROM course_jobs WHERE NOT finished")

        await eventually(done, "the jobs of courses are done")


async def judged_by(progress: Progress, user_id: str) -> int:
    """The version by which the learner is stored to be judged."""
    async with progress.sql() as sql:
        found = await sql.fetchval(
            "SELECT course_version FROM course_progress WHERE user_id = $1", user_id
        )
    return int(found)


async def statuses(progress: Progress, user_id: str = "ann") -> list[int]:
    found = await progress.course_progress(user_id, "c")
    return [one.status for one in found.levels]


async def listed(progress: Progress, **fields: object) -> list[pb.LearnerProgress]:
    request = pb.ListCourseProgressRequest(course_id="c", **fields)  # type: ignore[arg-type]
    return list((await progress.progress.ListCourseProgress(request)).learners)


def recalculate(
    progress: Progress, user_id: str = "", course_id: str = "c", **metadata: str
) -> Recalculation:
    """A call of RecalculateCourse, to be read."""
    request = admin_pb2.RecalculateCourseRequest(course_id=course_id, user_id=user_id)
    call: Recalculation = progress.admin.RecalculateCourse(
        request, metadata=tuple(metadata.items())
    )
    return call


async def told(
    call: Recalculation, done: int | None = None
) -> list[admin_pb2.RecalculateCourseResponse]:
    """What the call tells until it ends, or until so many are done; counts only rise."""
    found: list[admin_pb2.RecalculateCourseResponse] = []
    async with asyncio.timeout(60):
        while done is None or not found or found[-1].users_done < done:
            answer = await call.read()
            if not isinstance(answer, admin_pb2.RecalculateCourseResponse):
                break
            if found:
                pairs = zip(counts(found[-1]), counts(answer), strict=True)
                assert all(now >= before for before, now in pairs)
            found.append(answer)
    return found


def counts(answer: admin_pb2.RecalculateCourseResponse) -> tuple[int, int, int, int]:
    """users_total, users_done, users_changed, course_version."""
    return (
        answer.users_total,
        answer.users_done,
        answer.users_changed,
        answer.course_version,
    )


async def learners(progress: Progress) -> None:
    """Ten learners with 0, 1, … 9 of 10 right at l1, which 0.9 passes."""
    await progress.put_users(*USERS)
    await progress.put_course("c", ratio("l1", 0.9), level("l2"))
    for n, user_id in enumerate(USERS):
        await progress.submit(user_id, "l1", n)
    await jobs_done(progress)


async def edited(progress: Progress, *levels: catalog.Level) -> tuple[int, int, int, int]:
    """The counts of the job that this edit begins, when it is done."""
    async with held(progress, "u0"):
        await progress.put_course("c", *levels)
        call = recalculate(progress)
        await told(call, 0)
    return counts((await told(call))[-1])


async def completed(progress: Progress) -> int:
    """Completed levels of all learners together, as stored."""
    async with progress.sql() as sql:
        found = await sql.fetchval("SELECT sum(levels_completed) FROM course_progress")
    return int(found)


def course_of(
    *levels: catalog.Level, course_id: str = "c", mode: int = catalog.UNLOCK_MODE_SEQUENTIAL
) -> catalog.Course:
    section = catalog.Section(section_id="s", levels=levels)
    return catalog.Course(
        course_id=course_id,
        unlock_mode=catalog.UnlockMode.ValueType(mode),
        sections=[section],
    )


async def put_course(progress: Progress, one: catalog.Course) -> catalog.PutCourseResponse:
    return await progress.catalog.PutCourse(catalog.PutCourseRequest(course=one))


async def preview(progress: Progress, one: catalog.Course) -> catalog.PutCourseResponse:
    request = catalog.PutCourseRequest(course=one, validate_only=True)
    return await progress.catalog.PutCourse(request)


def edit_counts(edit: catalog.PutCourseResponse) -> tuple[int, int, int, int]:
    return (
        edit.users_affected,
        edit.users_newly_locked,
        edit.users_newly_unlocked,
        edit.users_completion_changed,
    )


def touched(
    before: Sequence[pb.GetCourseProgressResponse], after: Sequence[pb.GetCourseProgressResponse]
) -> tuple[int, int, int, int]:
    """The four counts, from what each learner was told before and after."""
    locked = newly_open = changed = 0
    for one, other in zip(before, after, strict=True):
        was = {each.level_id: each.status == pb.LEVEL_STATUS_LOCKED for each in one.levels}
        now = {each.level_id: each.status == pb.LEVEL_STATUS_LOCKED for each in other.levels}
        both = was.keys() & now.keys()
        locked += any(now[each] and not was[each] for each in both)
        newly_open += any(was[each] and not now[each] for each in both)
        changed += one.course.completion_ratio != other.course.completion_ratio
    return len(before), locked, newly_open, changed
