"""ImportProgress: many items over one stream, each counted once, each refusal told."""

import asyncio
from collections.abc import Sequence
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp
from grpc import aio

from shared.errors import Conflict, InvalidInput, NotFound, Unavailable
from shared.gen.laurel.progress.v1 import admin_pb2 as pb
from shared.gen.laurel.progress.v1 import catalog_pb2 as catalog
from tests.progress import Progress, award, eventually, level, refused, submission


def attempt(
    user_id: str, level_id: str, correct: int | None, request_id: str, **fields: Any
) -> pb.ImportedAttempt:
    without_xp = fields.pop("without_xp", False)
    sent = submission(user_id, level_id, correct, 10, request_id, **fields)
    return pb.ImportedAttempt(attempt=sent, without_xp=without_xp)


def batch(*attempts: pb.ImportedAttempt, **parts: Any) -> pb.ImportProgressRequest:
    return pb.ImportProgressRequest(attempts=attempts, **parts)


async def import_all(
    progress: Progress, batches: Sequence[pb.ImportProgressRequest]
) -> list[pb.ImportProgressResponse]:
    """Every answer to the batches, which are all sent without waiting for answers."""
    call = progress.admin.ImportProgress(iter(batches))
    return [answer async for answer in call]


def counts(answer: pb.ImportProgressResponse) -> tuple[int, int, int, int, int]:
    return (
        answer.received,
        answer.recorded,
        answer.replayed,
        answer.rejected,
        answer.xp_credited,
    )


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
            answer = await call.read()
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
    # It has not been paid, so the next one that passes is.
    assert (await progress.submit("ann", "l1")).xp_earned == 50
    assert await progress.totals("ann") == {"xp": 50, "marks": 100, "pomodoros": 3}


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
    assert counts(await call.read()) == (1, 1, 0, 0, 50)
    call.cancel()
    # The user's row is free again as soon as the server has seen it.
    assert not (await progress.submit("ann", "l1", request_id="a")).replayed


async def test_of_many_rejections_the_first_hundred_are_told(progress: Progress) -> None:
    await progress.put_users("ann")
    await progress.put_course("c", level("l1"))
    wrong = [attempt("ann", "l1", None, f"r{n}") for n in range(150)]
    right = attempt("ann", "l1", 10, "right")
    (answer,) = await import_all(progress, [batch(right, *wrong)])
    assert counts(answer) == (151, 1, 0, 150, 50)
    assert [one.index for one in answer.errors] == list(range(1, 101))
    assert {one.reason for one in answer.errors} == {"INVALID_SCORE"}


async def test_every_kind_of_wrong_item_is_rejected_by_itself(progress: Progress) -> None:
    await progress.put_users("ann")
    await progress.put_course("c", level("l1", question_count=10))
    late = Timestamp(seconds=2**50)
    items = [
        (attempt("ann", "l1", 11, "a"), "INVALID_SCORE"),
        (attempt("ann", "l1", 10, "b", occurred_time=Timestamp(seconds=1)), "INVALID_FIELD"),
        (attempt("ann", "l1", 10, "c", occurred_time=late), "INVALID_FIELD"),
        (attempt("ann", "l 1", 10, "d"), "INVALID_FIELD"),
        (attempt("ann", "nothing", 10, "e"), "LEVEL_NOT_FOUND"),
        (attempt("nobody", "l1", 10, "f"), "USER_NOT_FOUND"),
        (pb.ImportedAttempt(), "INVALID_FIELD"),
    ]
    awards = [award("ann", 0), award("ann", 1, metric="nothing")]
    (answer,) = await import_all(
        progress,
        [batch(*(one for one, _ in items), attempt("ann", "l1", 10, "right"), awards=awards)],
    )
    assert counts(answer) == (10, 1, 0, 9, 50)
    assert [(one.index, one.reason) for one in answer.errors] == [
        *((n, reason) for n, (_, reason) in enumerate(items)),
        (8, "INVALID_FIELD"),
        (9, "METRIC_NOT_FOUND"),
    ]


async def test_a_wrong_user_course_or_day_ends_the_import_and_keeps_what_was_answered(
    progress: Progress,
) -> None:
    await progress.put_users("ann")
    await progress.put_course("c", level("l1"))
    await progress.put_course("taken", level("x1"))
    taken = catalog.Course(
        course_id="d", sections=[catalog.Section(section_id="s", levels=[level("x1")])]
    )
    wrong: list[tuple[pb.ImportProgressRequest, type[Exception], str, str]] = [
        (
            batch(users=[catalog.User(user_id="ok"), catalog.User(user_id="a b")]),
            InvalidInput,
            "INVALID_FIELD",
            "users[1].user_id",
        ),
        (
            batch(courses=[catalog.Course(course_id="e")]),
            InvalidInput,
            "INVALID_FIELD",
            "course.sections",
        ),
        (batch(courses=[taken]), Conflict, "LEVEL_ID_TAKEN", ""),
        (
            batch(active_days=[pb.ActiveDay(user_id="ann", date="2014-2-3")]),
            InvalidInput,
            "INVALID_FIELD",
            "active_days[0].date",
        ),
        (
            batch(active_days=[pb.ActiveDay(user_id="nobody", date="2014-02-03")]),
            NotFound,
            "USER_NOT_FOUND",
            "",
        ),
    ]
    for n, (message, kind, reason, field) in enumerate(wrong):
        answers: list[pb.ImportProgressResponse] = []
        good = batch(attempt("ann", "l1", 10, f"r{n}"))
        message.users.add(user_id="beside")
        async with refused(kind, reason) as errors:  # type: ignore[arg-type]
            async for answer in progress.admin.ImportProgress(iter([good, message])):
                answers.append(answer)
        assert [violation.field for violation in errors[0].violations] == [field] * bool(field)
        assert [counts(answer)[:2] for answer in answers] == [(1, 1)]
        assert (await progress.submit("ann", "l1", request_id=f"r{n}")).replayed
        async with refused(NotFound, "USER_NOT_FOUND"):
            await progress.stats("beside")


async def test_a_message_holds_at_most_a_thousand_items(progress: Progress) -> None:
    await progress.put_users("ann")
    days = [pb.ActiveDay(user_id="ann", date="2014-02-03")] * 999
    one = award("ann", 1, request_id="a")
    answers = await import_all(progress, [batch(active_days=days, awards=[one])])
    assert counts(answers[0]) == (1, 1, 0, 0, 1)
    async with refused(InvalidInput, "INVALID_FIELD"):
        await import_all(
            progress, [batch(active_days=days, awards=[one], users=[catalog.User(user_id="b")])]
        )
    async with refused(NotFound, "USER_NOT_FOUND"):
        await progress.stats("b")


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


async def test_a_draining_server_ends_an_import_and_says_so(progress: Progress) -> None:
    await progress.put_users("ann")
    await progress.put_course("c", level("l1"))
    call = progress.admin.ImportProgress()
    await call.write(batch(attempt("ann", "l1", 10, "a")))
    assert counts(await call.read())[:2] == (1, 1)
    async with refused(Unavailable, "DRAINING"):
        draining = asyncio.create_task(progress.app.server.drain(5))

        async def is_draining() -> bool:
            return progress.app.server.draining.is_set()

        await eventually(is_draining, "the server drains")
        await call.write(batch(attempt("ann", "l1", 10, "b")))
        await call.read()
    await draining
