"""A dry run answers as the import would, and neither writes nor holds anything."""

import asyncio

import pytest

from progress_service.composition import now
from progress_service.importer import MAX_DRY_RUNS, MAX_IMPORTS
from progress_service.store.dry_run import DryRun
from shared.errors import Conflict, NotFound, ResourceExhausted
from shared.gen.laurel.progress.v1 import admin_pb2 as pb
from shared.gen.laurel.progress.v1 import catalog_pb2 as catalog
from tests.imports import attempt, batch, counts, import_all, next_answer
from tests.progress import Progress, award, held, level, refused


def course(course_id: str, *levels: catalog.Level, open_: bool = False) -> catalog.Course:
    mode = catalog.UNLOCK_MODE_OPEN if open_ else catalog.UNLOCK_MODE_SEQUENTIAL
    section = catalog.Section(section_id="s", levels=levels)
    return catalog.Course(course_id=course_id, unlock_mode=mode, sections=[section])


def dry(request: pb.ImportProgressRequest) -> pb.ImportProgressRequest:
    tried = pb.ImportProgressRequest(dry_run=True)
    tried.MergeFrom(request)
    return tried


async def both(progress: Progress, batches: list[pb.ImportProgressRequest]) -> list[object]:
    """What the dry run tells; the import must tell the same."""
    tried = await import_all(progress, [dry(batches[0]), *batches[1:]])
    done = await import_all(progress, batches)
    for one, other in zip(tried, done, strict=True):
        assert counts(one) == counts(other)
        assert [(e.index, e.request_id, e.reason) for e in one.errors] == [
            (e.index, e.request_id, e.reason) for e in other.errors
        ]
    return [counts(one) for one in tried]


async def test_of_a_whole_data_set_on_an_empty_stack_the_counts_are_true(
    progress: Progress,
) -> None:
    rewards = [catalog.MetricReward(metric="pomodoros", amount=3)]
    users = [catalog.User(user_id=one) for one in ("ann", "bob")]
    answers = await both(
        progress,
        [
            batch(courses=[course("c", level("l1"), level("l2"), level("l3", rewards=rewards))]),
            batch(users=users, active_days=[pb.ActiveDay(user_id="ann", date="2014-02-03")]),
            batch(attempt("ann", "l1", 10, "a"), attempt("bob", "l1", 4, "a")),
            # What came before opens what comes later, is replayed, and pays once.
            batch(attempt("ann", "l2", 10, "b"), attempt("bob", "l2", 10, "b")),
            batch(attempt("ann", "l1", 10, "a"), attempt("ann", "l1", 9, "a")),
            batch(attempt("ann", "l1", 10, "c"), attempt("bob", "l1", 10, "c")),
            batch(
                attempt("bob", "l2", 10, "d", without_xp=True),
                attempt("bob", "l2", 10, "e"),
                awards=[award("ann", 5, request_id="w1", reference="week 1", course_id="c")],
            ),
            batch(
                awards=[
                    award("ann", 5, request_id="w2", reference="week 1", course_id="c"),
                    award("ann", 5, request_id="a"),
                    award("ann", 5, request_id="w3", course_id="unknown"),
                    award("eve", 5, request_id="w4"),
                ]
            ),
            batch(users=[catalog.User(user_id="eve")]),
            batch(awards=[award("eve", 5, request_id="w4")]),
        ],
    )
    assert answers[-1] == (16, 10, 1, 5, 50 * 4 + 10)


async def test_a_course_that_the_stream_replaces_is_judged_as_replaced(progress: Progress) -> None:
    await progress.put_users("ann")
    await progress.catalog.PutCourse(
        catalog.PutCourseRequest(course=course("c", level("l1"), level("l2")))
    )
    await progress.submit("ann", "l1")
    answers = await both(
        progress,
        [
            batch(attempt("ann", "l1", 10, "a"), attempt("ann", "l2", 10, "b")),
            batch(courses=[course("c", level("l3", xp_reward=7), level("l1"), level("l4"))]),
            batch(attempt("ann", "l2", 10, "c"), attempt("ann", "l4", 10, "d")),
            batch(attempt("ann", "l1", 3, "e"), attempt("ann", "l3", 10, "f")),
        ],
    )
    assert answers == [(2, 2, 0, 0, 50), (2, 2, 0, 0, 50), (4, 3, 0, 1, 100), (6, 5, 0, 1, 107)]


async def test_what_ends_an_import_ends_a_dry_run(progress: Progress) -> None:
    first = dry(batch(courses=[course("c", level("l1"))]))
    async with refused(Conflict, "LEVEL_ID_TAKEN") as errors:
        await import_all(progress, [first, batch(courses=[course("d", level("l1"))])])
    assert errors[0].metadata == {"l1": "c"}
    async with refused(NotFound, "USER_NOT_FOUND"):
        days = [pb.ActiveDay(user_id="ann", date="2014-02-03")]
        await import_all(progress, [first, batch(active_days=days)])


async def test_a_dry_run_holds_nothing_between_messages_and_waits_for_nobody(
    progress: Progress,
) -> None:
    await progress.put_users("ann")
    await progress.put_course("c", level("l1"), level("l2"))
    call = progress.admin.ImportProgress()
    async with asyncio.timeout(10), progress.sql() as sql:
        await call.write(dry(batch(users=[catalog.User(user_id="ann", display_name="Other")])))
        await next_answer(call)
        await call.write(batch(attempt("ann", "l1", 10, "a")))
        assert counts(await next_answer(call)) == (1, 1, 0, 0, 50)
        # Nobody has any lock on a row, nor a transaction that has written.
        await sql.execute("SELECT FROM users FOR UPDATE NOWAIT")
        written = "SELECT count(*) FROM pg_locks WHERE locktype = 'transactionid' AND pid <> $1"
        assert await sql.fetchval(written, sql.get_server_pid()) == 0
        assert (await progress.submit("ann", "l1", request_id="live")).xp_earned == 50
        async with held(progress, "ann"):
            await call.write(batch(attempt("ann", "l2", 10, "b")))
            assert counts(await next_answer(call)) == (2, 2, 0, 0, 100)
    call.cancel()


async def test_a_dry_run_that_would_remember_too_much_is_refused(progress: Progress) -> None:
    progress.app.importer.dry_run = lambda: DryRun(progress.app.settings.zone, now, 5)
    few = [catalog.User(user_id=f"u{n}") for n in range(5)]
    await import_all(progress, [dry(batch(users=few))])
    async with refused(ResourceExhausted, "DRY_RUN_TOO_LARGE"):
        await import_all(
            progress, [dry(batch(users=few)), batch(users=[catalog.User(user_id="x")])]
        )


@pytest.mark.parametrize(("dry_run", "most"), [(False, MAX_IMPORTS), (True, MAX_DRY_RUNS)])
async def test_one_import_too_many_is_refused_and_then_taken(
    progress: Progress, *, dry_run: bool, most: int
) -> None:
    first = pb.ImportProgressRequest(dry_run=dry_run)
    calls = [progress.admin.ImportProgress() for _ in range(most)]
    for call in calls:
        await call.write(first)
        await next_answer(call)
    async with refused(ResourceExhausted, "TOO_MANY_IMPORTS"):
        await import_all(progress, [first])
    await calls[0].done_writing()
    await calls[0].read()
    assert len(await import_all(progress, [first])) == 1
    for call in calls:
        call.cancel()
