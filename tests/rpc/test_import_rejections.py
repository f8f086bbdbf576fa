"""ImportProgress: an item that is wrong is rejected by itself; what ends the import."""

import asyncio
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp

from shared.errors import InvalidInput, NotFound, Unavailable
from shared.gen.laurel.progress.v1 import admin_pb2 as pb
from shared.gen.laurel.progress.v1 import catalog_pb2 as catalog
from tests.imports import attempt, batch, counts, import_all, next_answer
from tests.progress import Progress, award, eventually, held, level, refused


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


def course(course_id: str, *levels: catalog.Level, **fields: Any) -> catalog.Course:
    section = catalog.Section(section_id="s", levels=levels)
    return catalog.Course(course_id=course_id, sections=[section], **fields)


def items(counted: pb.ImportItemCounts) -> tuple[int, int, int]:
    return counted.received, counted.stored, counted.rejected


def told(answer: pb.ImportProgressResponse) -> list[tuple[int, str, str]]:
    assert all(one.message for one in answer.errors)
    return [(one.index, one.item, one.reason) for one in answer.errors]


async def test_a_wrong_user_course_or_day_is_rejected_by_itself(progress: Progress) -> None:
    await progress.put_users("ann")
    await progress.put_course("taken", level("x1"))
    users = [
        catalog.User(user_id=user_id, time_zone=zone)
        for user_id, zone in (("bob", ""), ("a b", ""), ("eve", "Mars/Phobos"), ("dan", ""))
    ]
    courses = [
        course("c", level("l1")),
        course("empty"),
        course("d", level("x1")),
        course("e", level("l2"), unlock_mode=99),
        course("f", level("l3")),
    ]
    days = [
        pb.ActiveDay(user_id=user_id, date=date)
        for user_id, date in (
            ("ann", "2014-02-03"),
            ("ann", "2014-2-4"),
            ("ann", "1999-12-31"),
            ("ann", "9999-12-31"),
            ("nobody", "2014-02-03"),
            ("", "2014-02-03"),
            ("ann", "2014-W06-1"),
            ("bob", "2014-02-03"),
        )
    ]
    attempts = [attempt("bob", "l1", 10, "a"), attempt("bob", "x2", 10, "b")]
    awards = [award("eve", 1, request_id="a"), award("dan", 1, request_id="a")]
    first = batch(*attempts, users=users, courses=courses, awards=awards, active_days=days)
    second = batch(users=users[1:2], active_days=days[1:2], courses=courses[1:2], awards=awards)
    answers = await import_all(progress, [first, second])
    assert told(answers[0]) == [
        (1, "users[1]", "INVALID_FIELD"),
        (2, "users[2]", "INVALID_FIELD"),
        (1, "courses[1]", "INVALID_FIELD"),
        (2, "courses[2]", "LEVEL_ID_TAKEN"),
        (3, "courses[3]", "INVALID_FIELD"),
        (1, "attempts[1]", "LEVEL_NOT_FOUND"),
        (2, "awards[0]", "USER_NOT_FOUND"),
        (1, "active_days[1]", "INVALID_FIELD"),
        (2, "active_days[2]", "INVALID_FIELD"),
        (3, "active_days[3]", "INVALID_FIELD"),
        (4, "active_days[4]", "USER_NOT_FOUND"),
        (5, "active_days[5]", "INVALID_FIELD"),
        (6, "active_days[6]", "INVALID_FIELD"),
    ]
    assert told(answers[1]) == [
        (4, "users[0]", "INVALID_FIELD"),
        (5, "courses[0]", "INVALID_FIELD"),
        (4, "awards[0]", "USER_NOT_FOUND"),
        (8, "active_days[0]", "INVALID_FIELD"),
    ]
    last = answers[1]
    assert counts(last) == (6, 2, 1, 3, 51)
    assert (items(last.users), items(last.courses)) == ((5, 2, 3), (6, 2, 4))
    assert items(last.active_days) == (9, 2, 7)
    # What was beside them is stored.
    assert (await progress.submit("dan", "l3")).xp_earned == 50
    assert (await progress.stats("ann")).longest_streak_days == 1


async def test_the_same_again_changes_nothing_but_is_counted(progress: Progress) -> None:
    users = [catalog.User(user_id=one) for one in ("ann", "bob")]
    days = [pb.ActiveDay(user_id="ann", date="2014-02-03")]
    whole = batch(
        attempt("ann", "l1", 10, "a"),
        users=users,
        courses=[course("c", level("l1"))],
        active_days=days,
    )
    (first,) = await import_all(progress, [whole])
    before = await progress.settled()
    (again,) = await import_all(progress, [whole])
    assert await progress.settled() == before
    for name in ("users", "courses", "active_days"):
        assert items(getattr(again, name)) == items(getattr(first, name)), name
    assert (counts(first), counts(again)) == ((1, 1, 0, 0, 50), (1, 0, 1, 0, 0))


async def test_the_first_hundred_errors_of_a_message_are_told_in_the_order_of_its_parts(
    progress: Progress,
) -> None:
    users = [catalog.User(user_id="a b")] * 60
    days = [pb.ActiveDay(user_id="nobody", date="2014-02-03")] * 60
    (answer,) = await import_all(progress, [batch(users=users, active_days=days)])
    assert items(answer.users) == items(answer.active_days) == (60, 0, 60)
    assert [one.item for one in answer.errors] == [
        *(f"users[{n}]" for n in range(60)),
        *(f"active_days[{n}]" for n in range(40)),
    ]


async def test_a_user_who_cannot_be_stored_is_rejected_alone(progress: Progress) -> None:
    async with progress.sql() as sql:
        await sql.execute(
            """CREATE FUNCTION poison() RETURNS trigger LANGUAGE plpgsql AS
               $$ BEGIN RAISE EXCEPTION 'not bob'; END $$;
               CREATE TRIGGER poison BEFORE INSERT ON users FOR EACH ROW
               WHEN (NEW.user_id = 'bob') EXECUTE FUNCTION poison();"""
        )
    users = [catalog.User(user_id=one) for one in ("ann", "bob", "eve")]
    (answer,) = await import_all(progress, [batch(users=users)])
    assert told(answer) == [(1, "users[1]", "WRITE_FAILED")]
    assert items(answer.users) == (3, 2, 1)
    assert (await progress.award("eve", 1)).total == 1


async def test_of_two_profiles_with_one_id_the_later_right_one_counts(progress: Progress) -> None:
    users = [
        catalog.User(user_id="ann", display_name="Ann"),
        catalog.User(user_id="ann", display_name="Anna"),
        catalog.User(user_id="ann", display_name="A" * 101),
    ]
    (answer,) = await import_all(progress, [batch(users=users)])
    assert items(answer.users) == (3, 2, 1)
    found = await progress.catalog.GetUser(catalog.GetUserRequest(user_id="ann"))
    assert found.user.display_name == "Anna"


async def test_users_and_days_of_someone_whom_another_transaction_holds_are_rejected_alone(
    progress: Progress,
) -> None:
    await progress.put_users("ann", "bob")
    users = [catalog.User(user_id=one, display_name="New") for one in ("ann", "bob", "eve")]
    days = [pb.ActiveDay(user_id=one, date="2014-02-03") for one in ("ann", "bob", "eve", "dan")]
    async with held(progress, "bob"):
        answers = await import_all(progress, [batch(users=users), batch(active_days=days)])
    assert [told(answer) for answer in answers] == [
        [(1, "users[1]", "USER_BUSY")],
        [(1, "active_days[1]", "USER_BUSY"), (3, "active_days[3]", "USER_NOT_FOUND")],
    ]
    assert [(await progress.stats(one)).longest_streak_days for one in ("ann", "eve")] == [1, 1]
    (answer,) = await import_all(progress, [batch(users=users, active_days=days[:3])])
    assert (items(answer.users), items(answer.active_days)) == ((3, 3, 0), (3, 3, 0))


async def test_what_is_no_message_ends_the_import_after_the_answers_before(
    progress: Progress,
) -> None:
    await progress.put_users("ann")
    method = "/laurel.progress.v1.ProgressAdminService/ImportProgress"
    raw: Any = progress.channel.stream_stream(
        method, response_deserializer=pb.ImportProgressResponse.FromString
    )
    right = batch(awards=[award("ann", 1)]).SerializeToString()
    answers = []
    async with refused(InvalidInput, "MALFORMED_REQUEST"):
        async for answer in raw(iter([right, b"\xff" * 10])):
            answers += [counts(answer)]
    assert answers == [(1, 1, 0, 0, 1)]


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
