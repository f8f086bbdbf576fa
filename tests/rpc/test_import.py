"""ImportProgress: many items over one stream, each counted once, each refusal told."""

import asyncio

from grpc import aio

from shared.errors import NotFound
from shared.gen.laurel.progress.v1 import admin_pb2 as pb
from shared.gen.laurel.progress.v1 import catalog_pb2 as catalog
from tests.imports import attempt, batch, counts, import_all, next_answer
from tests.progress import Progress, award, level, refused


def small_course() -> catalog.Course:
    section = catalog.Section(section_id="s", levels=[level("l1"), level("l2")])
    mode = catalog.UNLOCK_MODE_SEQUENTIAL
    return catalog.Course(course_id="c", unlock_mode=mode, sections=[section])


async def test_a_whole_import_counts_and_again_replays(progress: Progress) -> None:
    users = [catalog.User(user_id=f"u{n}", display_name=f"U {n}") for n in range(3)]
    batches = [
        batch(users=users, courses=[small_course()]),
        batch(
            attempt("u0", "l1", 10, "a"),
            attempt("u1", "l1", 4, "a"),
            attempt("u0", "l2", 10, "b"),
            attempt("u2", "l2", 10, "a"),
            awards=[award("u1", 7, request_id="b"), award("nobody", 7, request_id="c")],
        ),
        batch(attempt("u1", "l1", 5, "c"), attempt("u0", "l1", 1, "a")),
    ]
    first = await import_all(progress, batches)
    assert [counts(answer) for answer in first] == [
        (0, 0, 0, 0, 0),
        (6, 4, 0, 2, 107),
        (8, 5, 0, 3, 157),
    ]
    told = [[(one.index, one.request_id, one.reason) for one in answer.errors] for answer in first]
    assert told == [
        [],
        [(3, "a", "LEVEL_LOCKED"), (5, "c", "USER_NOT_FOUND")],
        [(7, "a", "REQUEST_ID_REUSED")],
    ]
    assert all(one.message for answer in first for one in answer.errors)
    again = await import_all(progress, batches)
    assert counts(again[-1]) == (8, 0, 5, 3, 0)
    assert await progress.top() == [(1, "u0", 100), (2, "u1", 57)]


async def test_each_batch_is_answered_before_the_next_one_is_sent(progress: Progress) -> None:
    await progress.put_users("ann", "bob")
    await progress.put_course("c", level("l1"))
    call = progress.admin.ImportProgress()
    async with asyncio.timeout(10):
        for n, user_id in enumerate(("ann", "bob", "ann")):
            await call.write(batch(attempt(user_id, "l1", 10, f"r{n}")))
            answer = await next_answer(call)
            assert counts(answer)[:2] == (n + 1, n + 1)
            # An answer says that its batch is committed.
            assert len(await progress.attempts(level_id="l1")) == n + 1
    await call.done_writing()
    assert await call.read() is aio.EOF


async def test_an_empty_import_ends_without_an_answer(progress: Progress) -> None:
    assert await import_all(progress, []) == []
    assert [counts(one) for one in await import_all(progress, [batch()])] == [(0, 0, 0, 0, 0)]


async def test_the_items_of_one_user_keep_their_order(progress: Progress) -> None:
    await progress.put_users("ann", "bob")
    course = small_course()
    await progress.catalog.PutCourse(catalog.PutCourseRequest(course=course))
    attempts = [
        attempt("ann", "l2", 10, "r0"),
        attempt("ann", "l1", 3, "r1"),
        attempt("bob", "l1", 10, "r1"),
        attempt("ann", "l1", 10, "r2"),
        attempt("ann", "l1", 4, "r3"),
        attempt("ann", "l2", 10, "r4"),
        attempt("bob", "l2", 10, "r2"),
    ]
    answers = await import_all(progress, [batch(*attempts), batch(attempt("ann", "l2", 1, "r5"))])
    assert counts(answers[-1]) == (8, 7, 0, 1, 200)
    assert [one.index for answer in answers for one in answer.errors] == [0]
    listed = await progress.attempts(user_id="ann")
    assert [one.request_id for one in listed] == ["r5", "r4", "r3", "r2", "r1"]


async def test_one_request_id_twice_in_a_message_is_recorded_once(progress: Progress) -> None:
    await progress.put_users("ann")
    await progress.put_course("c", level("l1"))
    same = attempt("ann", "l1", 10, "a")
    (answer,) = await import_all(progress, [batch(same, same, attempt("ann", "l1", 9, "a"))])
    assert counts(answer) == (3, 1, 1, 1, 50)
    assert [(one.index, one.reason) for one in answer.errors] == [(2, "REQUEST_ID_REUSED")]


async def test_a_result_carried_over_counts_for_completion_and_pays_no_xp(
    progress: Progress,
) -> None:
    await progress.put_users("ann")
    rewards = [catalog.MetricReward(metric="pomodoros", amount=3)]
    await progress.put_course("c", level("l1", rewards=rewards))
    carried = attempt("ann", "l1", 8, "a", without_xp=True)
    (answer,) = await import_all(progress, [batch(carried)])
    assert counts(answer) == (1, 1, 0, 0, 0)
    found = await progress.course_progress("ann", "c")
    assert (found.course.levels_completed, found.course.marks) == (1, 80)
    assert await progress.totals("ann") == {"xp": 0, "marks": 80}
    # Its XP came over with it, so the next one that passes is not paid either.
    assert (await progress.submit("ann", "l1")).xp_earned == 0
    assert await progress.totals("ann") == {"xp": 0, "marks": 100}


async def test_awards_and_active_days_are_imported(progress: Progress) -> None:
    await progress.put_users("ann")
    days = [pb.ActiveDay(user_id="ann", date=f"2014-02-{day:02d}") for day in (3, 1, 2, 2, 9)]
    await import_all(progress, [batch(active_days=days, awards=[award("ann", 7, reference="r")])])
    stats = await progress.stats("ann")
    assert (stats.longest_streak_days, [one.all_time for one in stats.metrics]) == (3, [7])


async def test_a_dry_run_answers_as_usual_and_leaves_nothing(progress: Progress) -> None:
    await progress.put_users("old")
    before = await progress.settled()
    batches = [
        pb.ImportProgressRequest(
            dry_run=True, users=[catalog.User(user_id="ann")], courses=[small_course()]
        ),
        batch(attempt("ann", "l1", 10, "a"), attempt("ann", "l2", 10, "b")),
        batch(
            attempt("ann", "l1", 10, "a"),
            attempt("nobody", "l1", 10, "a"),
            awards=[award("old", 5, request_id="a")],
        ),
    ]
    answers = await import_all(progress, batches)
    assert [counts(answer) for answer in answers] == [
        (0, 0, 0, 0, 0),
        (2, 2, 0, 0, 100),
        (5, 3, 1, 1, 105),
    ]
    async with refused(NotFound, "USER_NOT_FOUND"):
        await progress.stats("ann")
    async with refused(NotFound, "COURSE_NOT_FOUND"):
        await progress.catalog.GetCourse(catalog.GetCourseRequest(course_id="c"))
    async with refused(NotFound, "LEVEL_NOT_FOUND"):
        await progress.submit("old", "l1")
    assert await progress.totals("old") == {"xp": 0}
    assert await progress.settled() == before
    batches[0].dry_run = False
    assert [counts(one) for one in await import_all(progress, batches)] == [
        counts(answer) for answer in answers
    ]


async def test_a_dry_run_that_is_cut_short_leaves_nothing(progress: Progress) -> None:
    await progress.put_users("ann")
    await progress.put_course("c", level("l1"))
    call = progress.admin.ImportProgress()
    await call.write(
        pb.ImportProgressRequest(dry_run=True, attempts=[attempt("ann", "l1", 10, "a")])
    )
    assert counts(await next_answer(call)) == (1, 1, 0, 0, 50)
    call.cancel()
    # The user's row is free again as soon as the server has seen it.
    assert not (await progress.submit("ann", "l1", request_id="a")).replayed


async def test_an_import_that_is_cut_and_run_again_records_each_item_once(
    progress: Progress,
) -> None:
    users = [f"u{n}" for n in range(20)]
    await progress.put_users(*users)
    await progress.put_course("c", level("l1"), level("l2"))
    batches = [
        batch(
            *(
                attempt(user_id, level_id, 5 + n, f"{level_id}-{n}")
                for level_id in ("l1", "l2")
                for user_id in users
            )
        )
        for n in range(5)
    ]
    call = progress.admin.ImportProgress(iter(batches))
    await call.read()
    call.cancel()
    (*_, last) = await import_all(progress, batches)
    assert last.received == last.recorded + last.replayed == 200
    assert last.replayed >= 40
    totals = await asyncio.gather(*map(progress.totals, users))
    assert {(one["xp"], one["marks"]) for one in totals} == {(100, 180)}
    async with progress.sql() as sql:
        assert await sql.fetchval("SELECT count(*) FROM attempts") == 200


async def test_two_imports_of_the_same_at_once_record_each_item_once(progress: Progress) -> None:
    users = [f"u{n}" for n in range(30)]
    await progress.put_users(*users)
    await progress.put_course("c", level("l1"))
    batches = [
        batch(*(attempt(user_id, "l1", 5 + n, f"r{n}") for user_id in users)) for n in range(4)
    ]
    both = await asyncio.gather(
        import_all(progress, batches), import_all(progress, list(reversed(batches)))
    )
    recorded = [answers[-1].recorded for answers in both]
    replayed = [answers[-1].replayed for answers in both]
    assert sum(recorded) == sum(replayed) == 120
    assert sum(answers[-1].xp_credited for answers in both) == 30 * 50
