"""ImportProgress: what is rejected by itself, and what ends the import."""

import asyncio

from google.protobuf.timestamp_pb2 import Timestamp

from shared.errors import Conflict, InvalidInput, NotFound, Unavailable
from shared.gen.laurel.progress.v1 import admin_pb2 as pb
from shared.gen.laurel.progress.v1 import catalog_pb2 as catalog
from tests.imports import attempt, batch, counts, import_all, next_answer
from tests.progress import Progress, award, eventually, level, refused


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
                answers += [answer]
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


async def test_a_draining_server_ends_an_import_and_says_so(progress: Progress) -> None:
    await progress.put_users("ann")
    await progress.put_course("c", level("l1"))
    call = progress.admin.ImportProgress()
    await call.write(batch(attempt("ann", "l1", 10, "a")))
    assert counts(await next_answer(call))[:2] == (1, 1)
    async with refused(Unavailable, "DRAINING"):
        draining = asyncio.create_task(progress.app.server.drain(5))

        async def is_draining() -> bool:
            return progress.app.server.draining.is_set()

        await eventually(is_draining, "the server drains")
        await call.write(batch(attempt("ann", "l1", 10, "b")))
        await call.read()
    await draining
