"""EraseUser: the person goes, the sums stay, and nobody sees half of it."""

import asyncio
from collections.abc import Awaitable

from shared.errors import InvalidInput, NotFound, Unavailable
from shared.gen.laurel.progress.v1 import admin_pb2
from shared.gen.laurel.progress.v1 import catalog_pb2 as catalog
from shared.gen.laurel.progress.v1 import progress_pb2 as pb
from shared.gen.laurel.types.v1 import types_pb2
from tests.access import TESTS, acting
from tests.erasure_traces import traces
from tests.history_fold import check, fold, watched
from tests.progress import Progress, award, level, refused

ERASE = "laurel.progress.v1.ProgressAdminService/EraseUser"


async def put_person(progress: Progress) -> None:
    """A person with a trace in every table."""
    user = catalog.User(
        user_id="person-7",
        display_name="Person Name-7",
        avatar_url="https://x.example/person-7",
        time_zone="Asia/Kathmandu",
    )
    await progress.catalog.PutUser(catalog.PutUserRequest(user=user))
    user.time_zone = "Asia/Jakarta"
    await progress.catalog.PutUser(catalog.PutUserRequest(user=user))
    await progress.put_course("c", level("l1"), level("l2"))
    await progress.submit("person-7", "l1", request_id="of-person-7-a")
    attempt = await progress.submit("person-7", "l2", 3, request_id="of-person-7-b")
    await progress.void(attempt.attempt_id, reason="as person-7 asked")
    entry = await progress.award("person-7", 3, reference="for-person-7", request_id="person-7-c")
    by_the_person = award("other", 4, request_id="of-other", reference="kept")
    own = award("person-7", 4, request_id="person-7-d")
    for request in (by_the_person, own):
        await progress.progress.AwardXp(request, metadata=(("x-laurel-actor", "person-7"),))
    by_hand = award("other", 1, source="admin", reference="by-hand", request_id="of-other-2")
    await progress.progress.AwardXp(by_hand, **acting("tutor", "service", "person-7"))
    await progress.revoke(entry.entry_id, reason="person-7 is sorry", request_id="person-7-e")
    days = [admin_pb2.ActiveDay(user_id="person-7", date="2026-01-01")]
    async for _ in progress.admin.ImportProgress(
        iter([admin_pb2.ImportProgressRequest(active_days=days)])
    ):
        pass


async def test_nothing_of_the_person_is_left_but_that_there_was_an_erasure(
    progress: Progress,
) -> None:
    await progress.put_users("other")
    await put_person(progress)
    await progress.settled()
    assert len(await traces(progress, "person-7")) > 9
    await progress.erase("person-7", actor="person-7")
    assert await traces(progress, "person-7", "person name", "Kathmandu", "Jakarta") == {
        "changes": 1,
        "admin_actions": 1,
    }
    # What others are, and what was done for them, stays.
    left = [(one.amount, one.reference, one.actor) for one in await progress.entries("other")]
    assert left == [(1, "by-hand", "tutor"), (4, "kept", "")]
    page = await progress.admin.ListAdminActions(
        admin_pb2.ListAdminActionsRequest(user_id="person-7")
    )
    assert [(one.method, one.actor, one.detail) for one in page.actions] == [(ERASE, "", "")]


async def test_the_ledger_still_adds_up_under_a_pseudonym(progress: Progress) -> None:
    await progress.put_users("other")
    await put_person(progress)
    await progress.settled()
    async with progress.sql() as sql:
        ledger = "SELECT metric, sum(amount)::bigint FROM xp_entries GROUP BY 1 ORDER BY 1"
        before = await sql.fetch(ledger)
        await progress.erase("person-7")
        assert await sql.fetch(ledger) == before
        assert await sql.fetch(
            """SELECT user_id, metric, sum(amount)::bigint AS total FROM xp_entries
                   GROUP BY 1, 2 ORDER BY 1, 2"""
        ) == await sql.fetch("SELECT user_id, metric, total FROM user_totals ORDER BY 1, 2")
        # Every entry's number is kept.
        assert not await sql.fetchval(
            """SELECT count(*) FROM xp_entries e
               WHERE NOT EXISTS (SELECT FROM changes c WHERE c.entry_id = e.entry_id)"""
        )
        pseudonyms = await sql.fetch(
            """SELECT user_id FROM users WHERE user_id <> 'other'
               UNION SELECT user_id FROM attempts UNION SELECT user_id FROM level_progress
               UNION SELECT user_id FROM course_progress UNION SELECT user_id FROM level_rewards"""
        )
        assert len(pseudonyms) == 1
        assert pseudonyms[0]["user_id"].startswith("~")


async def test_whoever_reads_from_the_beginning_sees_redactions_and_the_erasure(
    progress: Progress,
) -> None:
    await progress.put_users("other")
    await put_person(progress)
    before = await progress.settled()
    changes = await watched(progress, before.sequence)
    position = await progress.erase("person-7")
    assert position.sequence == before.sequence + 1
    after = await watched(progress, position.sequence)
    assert [one.sequence for one in after] == list(range(1, position.sequence + 1))
    for was, now in zip(changes, after, strict=False):
        concerns = "person-7" in str(was)
        assert now.WhichOneof("kind") == ("redaction" if concerns else was.WhichOneof("kind"))
        assert concerns or now == was
        assert now.numbered_time == was.numbered_time
    assert after[-1].user_erasure == pb.UserErasure(user_id="person-7")
    assert "person" not in str(after[:-1]).lower()
    await check(progress)


async def test_whoever_stands_in_the_middle_comes_to_the_same_boards(progress: Progress) -> None:
    await progress.put_users("ann", "bob")
    for n in range(4):
        await progress.award("ann", n + 1)
        await progress.award("bob", n + 1)
    before = await progress.settled()
    old = await watched(progress, before.sequence)
    head = await progress.erase("ann")
    whole = await check(progress)
    assert whole.listed(("xp", "", types_pb2.WINDOW_ALL_TIME, "")) == [(1, "bob", 10)]
    for part in range(before.sequence):
        after = types_pb2.Position(epoch=before.epoch, sequence=part)
        rest = await watched(progress, head.sequence, after)
        # The deltas of someone whose profile is a redaction by now are redactions too.
        assert fold(rest, into=fold(old[:part])).counted == whole.counted


async def test_the_erased_user_is_on_no_board_and_unknown_to_every_call(progress: Progress) -> None:
    await progress.put_users("ann", "bob")
    await progress.put_course("c", level("l1", max_marks=0))
    attempt = await progress.submit("ann", "l1")
    entry = await progress.award("ann", 5)
    await progress.award("bob", 5)
    await progress.settled()
    await progress.erase("ann")
    assert await progress.top() == [(1, "bob", 5)]
    assert await progress.top(course_id="c") == []
    by_id = admin_pb2.EraseUserRequest(user_id="nobody")
    calls: list[Awaitable[object]] = [
        progress.stats("ann"),
        progress.entries("ann"),
        progress.attempts(user_id="ann"),
        progress.course_progress("ann", "c"),
        progress.award("ann", 1),
        progress.submit("ann", "l1"),
        progress.catalog.GetUser(catalog.GetUserRequest(user_id="ann")),
        progress.admin.ExportUser(admin_pb2.ExportUserRequest(user_id="ann")).read(),
        progress.admin.EraseUser(by_id),
    ]
    for call in calls:
        async with refused(NotFound, "USER_NOT_FOUND"):
            await call
    async with refused(NotFound, "ENTRY_NOT_FOUND"):
        await progress.revoke(entry.entry_id)
    async with refused(NotFound, "ATTEMPT_NOT_FOUND"):
        await progress.void(attempt.attempt_id)
    users = await progress.catalog.ListUsers(catalog.ListUsersRequest())
    assert [user.user_id for user in users.users] == ["bob"]
    status = await progress.admin.GetStatus(admin_pb2.GetStatusRequest())
    assert (status.users, status.ledger_entries) == (1, 3)


async def test_a_pseudonym_names_nobody(progress: Progress) -> None:
    await progress.put_users("ann")
    await progress.erase("ann")
    async with progress.sql() as sql:
        pseudonym = await sql.fetchval("SELECT user_id FROM users")
    for call in (
        progress.stats(pseudonym),
        progress.award(pseudonym, 1),
        progress.put_users(pseudonym),
        progress.erase(pseudonym),
        progress.admin.ExportUser(admin_pb2.ExportUserRequest(user_id=pseudonym)).read(),
    ):
        async with refused(InvalidInput, "INVALID_FIELD"):
            await call


async def lists(progress: Progress) -> list[str]:
    """Every page of every list that names users, whole."""
    board = types_pb2.Board(course_id="c")
    found: list[object] = [
        await progress.catalog.ListUsers(catalog.ListUsersRequest()),
        await progress.catalog.ListUsers(catalog.ListUsersRequest(prefix="person")),
        await progress.admin.ListAdminActions(admin_pb2.ListAdminActionsRequest()),
        await progress.attempts(course_id="c"),
        await progress.attempts(level_id="l1"),
        await progress.entries("other"),
        await progress.progress.ListCourseProgress(
            pb.ListCourseProgressRequest(course_id="c", page_size=500)
        ),
        await progress.standings.ListStandings(pb.ListStandingsRequest()),
        await progress.standings.ListStandings(pb.ListStandingsRequest(board=board)),
    ]
    return [str(one) for one in found]


async def test_no_list_gives_the_pseudonym_away(progress: Progress) -> None:
    await progress.put_users("other")
    await put_person(progress)
    await progress.submit("other", "l1")
    request = admin_pb2.ExportUserRequest(user_id="person-7")
    async for _ in progress.admin.ExportUser(request):
        pass
    by_person = (("x-laurel-actor", "person-7"),)
    request = admin_pb2.ExportUserRequest(user_id="other")
    async for _ in progress.admin.ExportUser(request, metadata=by_person):
        pass
    acts = len(await progress.acts())
    await progress.erase("person-7")
    answers = await lists(progress)
    assert all("other" in one for one in (answers[0], *answers[3:5], *answers[6:]))
    assert not [one for one in answers if "~" in one]
    head = await progress.settled()
    assert "~" not in str(await watched(progress, head.sequence))
    # No act is lost: only whom it concerned.
    page = await progress.admin.ListAdminActions(admin_pb2.ListAdminActionsRequest())
    assert len(page.actions) == acts + 1
    assert {one.actor for one in page.actions} == {"", TESTS, "tutor"}
    assert {one.caller for one in page.actions} == {"", TESTS}


async def test_no_time_of_the_erasure_is_kept_with_the_pseudonym(progress: Progress) -> None:
    await progress.put_users("other")
    await put_person(progress)
    async with progress.sql() as sql:
        before = await sql.fetchval("SELECT update_time FROM users WHERE user_id = 'person-7'")
        await progress.erase("person-7")
        (row,) = await sql.fetch("SELECT * FROM users WHERE user_id <> 'other'")
    assert row["user_id"].startswith("~")
    assert row["update_time"] == row["create_time"] < before


async def test_erasing_again_answers_the_same_position(progress: Progress) -> None:
    await progress.put_users("ann")
    positions = await asyncio.gather(*(progress.erase("ann") for _ in range(4)))
    assert len({one.sequence for one in positions}) == 1
    await progress.put_users("bob")
    await progress.settled()
    assert await progress.erase("ann") == positions[0]
    page = await progress.admin.ListAdminActions(admin_pb2.ListAdminActionsRequest(user_id="ann"))
    assert len(page.actions) == 1


async def test_an_erasure_that_gets_no_number_in_time_is_told_by_the_next_call(
    progress: Progress,
) -> None:
    await progress.put_users("ann")
    await progress.settled()
    async with progress.numbering_held():
        for _ in range(2):
            async with refused(Unavailable, "NOT_NUMBERED_YET"):
                await progress.admin.EraseUser(admin_pb2.EraseUserRequest(user_id="ann"), timeout=2)
    assert (await progress.erase("ann")).sequence == 2


async def test_the_same_id_can_be_created_anew_and_starts_from_nothing(progress: Progress) -> None:
    await progress.put_course("c", level("l1", max_marks=0))
    for round_ in range(1, 4):
        await progress.put_users("ann")
        # Neither the request id nor the level's reward nor the reference is known any more.
        first = await progress.submit("ann", "l1", request_id="r")
        again = await progress.award("ann", 7, reference="once", request_id="s")
        assert (first.xp_earned, first.total_xp, again.total) == (50, 50, 57)
        (xp, *_) = [one for one in (await progress.stats("ann")).metrics if one.metric == "xp"]
        assert xp.all_time == 57
        await check(progress)
        await progress.erase("ann")
        assert await progress.top() == []
        assert (await check(progress)).counted == {}
        async with progress.sql() as sql:
            assert await sql.fetchval("SELECT count(*) FROM users") == round_
    head = await progress.settled()
    kinds = [one.WhichOneof("kind") for one in await watched(progress, head.sequence)]
    assert kinds == (["redaction"] * 3 + ["user_erasure"]) * 3


async def test_a_hidden_user_is_erased_too_and_the_boards_still_count_right(
    progress: Progress,
) -> None:
    await progress.put_users("ann", "bob")
    await progress.award("ann", 5)
    await progress.award("bob", 5)
    user = catalog.User(user_id="ann", hidden=True)
    await progress.catalog.PutUser(catalog.PutUserRequest(user=user))
    await progress.erase("ann")
    await check(progress)
    await progress.erase("bob")
    assert (await check(progress)).counted == {}
