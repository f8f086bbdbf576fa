"""A dry run answers as the import would, and neither writes nor holds anything."""

import asyncio
import json

import pytest

from progress_service.composition import now
from progress_service.importer import MAX_DRY_RUNS, MAX_IMPORTS
from progress_service.store.dry_run import DryRun
from shared.errors import ResourceExhausted
from shared.gen.laurel.progress.v1 import admin_pb2 as pb
from shared.gen.laurel.progress.v1 import catalog_pb2 as catalog
from tests.imports import attempt, batch, both, counts, dry, import_all, next_answer
from tests.progress import Progress, award, held, level, refused


def course(course_id: str, *levels: catalog.Level, open_: bool = False) -> catalog.Course:
    mode = catalog.UNLOCK_MODE_OPEN if open_ else catalog.UNLOCK_MODE_SEQUENTIAL
    section = catalog.Section(section_id="s", levels=levels)
    return catalog.Course(course_id=course_id, unlock_mode=mode, sections=[section])


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
    # A result that was carried over is not paid, and no later one at its level.
    assert answers[-1] == (16, 10, 1, 5, 50 * 3 + 10)


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


async def test_items_that_are_rejected_are_named_as_the_import_names_them(
    progress: Progress,
) -> None:
    days = [pb.ActiveDay(user_id=one, date="2014-02-03") for one in ("ann", "bob", "eve")]
    await both(
        progress,
        [
            batch(courses=[course("c", level("l1"))], users=[catalog.User(user_id="ann")]),
            batch(courses=[course("d", level("l1")), course("e")], active_days=days),
            batch(users=[catalog.User(user_id="a b"), catalog.User(user_id="bob")]),
            batch(active_days=days),
        ],
    )
    assert (await progress.stats("bob")).longest_streak_days == 1


async def test_a_zone_too_many_is_rejected(progress: Progress) -> None:
    await progress.put_users("ann", "bob")
    async with progress.sql() as sql:
        earlier = json.dumps([["2020-01-01T00:00:00.000000+00:00", "Asia/Jakarta"]] * 999)
        await sql.execute("UPDATE users SET earlier_zones = $1::jsonb", earlier)
    zones = ["Asia/Jakarta", "Asia/Jakarta", "Asia/Tokyo", "Asia/Jakarta"]
    moves = [batch(users=[catalog.User(user_id="ann", time_zone=one)]) for one in zones]
    beside = batch(users=[catalog.User(user_id=one, time_zone="UTC") for one in ("ann", "bob")])
    await both(progress, [*moves, beside])
    found = await progress.catalog.GetUser(catalog.GetUserRequest(user_id="bob"))
    assert found.user.time_zone == "UTC"


async def test_a_level_that_a_new_version_completes_opens_the_next(progress: Progress) -> None:
    await progress.put_users("ann", "bob")
    strict, easy = course("c", level("l1"), level("l2")), course("c", level("l1"), level("l2"))
    easy.sections[0].levels[0].pass_ratio = 0.3
    await progress.catalog.PutCourse(catalog.PutCourseRequest(course=strict))
    await progress.submit("ann", "l1", correct=4)
    answers = await both(
        progress,
        [
            batch(attempt("bob", "l1", 3, "a"), attempt("bob", "l2", 10, "b")),
            # What one version completes stays so, whichever comes after it.
            batch(courses=[easy]),
            batch(courses=[strict]),
            batch(attempt("ann", "l2", 10, "a"), attempt("bob", "l2", 10, "b")),
            batch(attempt("ann", "l1", 10, "b"), attempt("bob", "l1", 10, "c")),
        ],
    )
    assert answers[-1] == (6, 5, 0, 1, 200)


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
