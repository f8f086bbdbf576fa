"""ListAdminActions: who did what to whom, newest first."""

import asyncio

import pytest
from grpc import aio

from shared.errors import InvalidInput
from shared.gen.laurel.progress.v1 import admin_pb2
from shared.gen.laurel.progress.v1 import catalog_pb2 as catalog
from shared.gen.laurel.types.v1 import types_pb2
from tests.access import TESTS
from tests.imports import attempt, batch
from tests.progress import Progress, eventually, held, level, refused, waits_for_lock


async def act(progress: Progress, n: int) -> None:
    """A reset, by a caller of its own."""
    board = types_pb2.Board(window=types_pb2.WINDOW_YEAR, period=f"201{n}")
    await progress.admin.ResetWindow(
        admin_pb2.ResetWindowRequest(board=board, request_id=f"q{n}"),
        metadata=(("x-laurel-actor", f"admin-{n}"),),
    )


async def concern(progress: Progress, user_id: str) -> None:
    async for _ in progress.admin.ExportUser(admin_pb2.ExportUserRequest(user_id=user_id)):
        pass


async def details(progress: Progress, page_size: int, user_id: str = "") -> list[str]:
    """Of every action, page by page."""
    found: list[str] = []
    request = admin_pb2.ListAdminActionsRequest(page_size=page_size, user_id=user_id)
    while True:
        page = await progress.admin.ListAdminActions(request)
        assert len(page.actions) <= page_size
        found += [one.detail for one in page.actions]
        request.page_token = page.next_page_token
        if not request.page_token:
            return found


async def test_each_action_says_who_did_what_and_when(progress: Progress) -> None:
    await progress.put_users("ann")
    await act(progress, 1)
    await concern(progress, "ann")
    page = await progress.admin.ListAdminActions(admin_pb2.ListAdminActionsRequest())
    assert page.next_page_token == ""
    service = "laurel.progress.v1.ProgressAdminService"
    assert [(one.method, one.actor, one.user_id, one.detail) for one in page.actions] == [
        (f"{service}/ExportUser", TESTS, "ann", ""),
        (f"{service}/ResetWindow", "admin-1", "", "xp//year/2011"),
    ]
    assert page.actions[0].create_time.seconds >= page.actions[1].create_time.seconds > 0


@pytest.mark.parametrize("page_size", [1, 3, 7, 8])
async def test_pages_hold_every_action_once_newest_first(
    progress: Progress, page_size: int
) -> None:
    for n in range(7):
        await act(progress, n)
    assert await details(progress, page_size) == [f"xp//year/201{n}" for n in reversed(range(7))]


async def test_pages_stay_as_they_are_while_actions_are_added(progress: Progress) -> None:
    for n in range(4):
        await act(progress, n)
    request = admin_pb2.ListAdminActionsRequest(page_size=2)
    page = await progress.admin.ListAdminActions(request)
    await act(progress, 4)
    request.page_token = page.next_page_token
    rest = await progress.admin.ListAdminActions(request)
    assert [one.detail for one in (*page.actions, *rest.actions)] == [
        f"xp//year/201{n}" for n in (3, 2, 1, 0)
    ]


async def test_a_user_is_listed_alone_and_one_who_is_not_there_has_no_actions(
    progress: Progress,
) -> None:
    await progress.put_users("ann", "bob")
    await act(progress, 1)
    for user_id in ("ann", "bob", "ann"):
        await concern(progress, user_id)
    assert len(await details(progress, 1, user_id="ann")) == 2
    assert len(await details(progress, 1, user_id="bob")) == 1
    assert await details(progress, 1, user_id="nobody") == []


async def test_a_token_of_another_list_is_refused(progress: Progress) -> None:
    await progress.put_users("ann")
    for _ in range(2):
        await concern(progress, "ann")
    request = admin_pb2.ListAdminActionsRequest(page_size=1)
    token = (await progress.admin.ListAdminActions(request)).next_page_token
    for user_id, page_token in (("ann", token), ("", token[:-2]), ("", "x" * 5000)):
        async with refused(InvalidInput, "INVALID_PAGE_TOKEN"):
            await progress.admin.ListAdminActions(
                admin_pb2.ListAdminActionsRequest(user_id=user_id, page_token=page_token)
            )
    for wrong in ({"page_size": -1}, {"user_id": "~" + "0" * 32}):
        async with refused(InvalidInput, "INVALID_FIELD"):
            await progress.admin.ListAdminActions(admin_pb2.ListAdminActionsRequest(**wrong))


async def put(progress: Progress, user_id: str, *, hidden: bool, name: str = "") -> None:
    """By "officer"."""
    user = catalog.User(user_id=user_id, hidden=hidden, display_name=name)
    await progress.catalog.PutUser(
        catalog.PutUserRequest(user=user), metadata=(("x-laurel-actor", "officer"),)
    )


HIDDEN = ("PutUser", "officer", "hidden")
SHOWN = ("PutUser", "officer", "not hidden")


async def test_hiding_and_showing_a_user_who_was_there_are_acts_and_other_edits_are_none(
    progress: Progress,
) -> None:
    await put(progress, "ann", hidden=True)
    await put(progress, "bob", hidden=False)
    await put(progress, "ann", hidden=True, name="Ann")
    await put(progress, "bob", hidden=False)
    assert await progress.acts() == []
    await put(progress, "ann", hidden=False, name="Ann")
    await put(progress, "bob", hidden=True)
    for _ in range(2):
        await put(progress, "ann", hidden=True)
    assert await progress.acts("ann") == [HIDDEN, SHOWN]
    assert await progress.acts("bob") == [HIDDEN]


async def test_a_profile_that_is_refused_leaves_no_act(progress: Progress) -> None:
    await put(progress, "ann", hidden=False)
    async with refused(InvalidInput, "INVALID_FIELD"):
        await put(progress, "ann", hidden=True, name="\n")
    assert await progress.acts() == []


async def test_edits_that_wait_for_each_other_are_held_against_what_they_find(
    progress: Progress,
) -> None:
    await put(progress, "ann", hidden=False)
    async with held(progress, "ann") as sql:
        # Before both of them, and committed after they have begun.
        await sql.execute("UPDATE users SET hidden = true WHERE user_id = 'ann'")
        first = asyncio.create_task(put(progress, "ann", hidden=True, name="Ann"))
        await waits_for_lock(progress)
    await first
    assert await progress.acts() == []
    async with held(progress, "ann") as sql:
        await sql.execute("UPDATE users SET hidden = false WHERE user_id = 'ann'")
        second = asyncio.create_task(put(progress, "ann", hidden=True, name="Anna"))
        await waits_for_lock(progress)
    await second
    assert await progress.acts() == [HIDDEN]


async def test_whoever_finds_the_user_created_meanwhile_hides_one_who_was_there(
    progress: Progress,
) -> None:
    async with progress.sql() as sql:
        async with sql.transaction():
            await sql.execute(
                """INSERT INTO users (user_id, display_name, avatar_url, time_zone, hidden)
                   VALUES ('ann', '', '', '', false)"""
            )
            hiding = asyncio.create_task(put(progress, "ann", hidden=True))
            await waits_for_lock(progress)
        await hiding
    assert await progress.acts() == [HIDDEN]


async def import_as(
    progress: Progress, actor: str, batches: list[admin_pb2.ImportProgressRequest]
) -> None:
    call = progress.admin.ImportProgress(iter(batches), metadata=(("x-laurel-actor", actor),))
    async for _ in call:
        pass


BEGUN = ("ImportProgress", "officer", "begun")


async def test_an_import_is_one_act_and_one_for_each_course_that_it_changes(
    progress: Progress,
) -> None:
    await progress.put_users("u0", "u1")
    users = [catalog.User(user_id=one, hidden=True) for one in ("u0", "u1")]
    section = catalog.Section(section_id="s", title="S", levels=[level("l1")])
    course = catalog.Course(
        course_id="c",
        title="C",
        unlock_mode=catalog.UNLOCK_MODE_OPEN,
        sections=[section],
    )
    batches = [batch(users=users), batch(courses=[course])]
    batches += [batch(attempt("u0", "l1", 10, f"r{n}")) for n in range(3)]
    await import_as(progress, "officer", batches)
    course_edit, begun = await progress.acts()
    assert begun == BEGUN
    assert course_edit[:2] == ("ImportProgress", "officer")
    assert course_edit != begun
    assert await progress.acts("u0") == []
    # Each stream is an act, though all of it is replayed.
    await import_as(progress, "officer", batches)
    assert await progress.acts() == [BEGUN, course_edit, BEGUN]


async def test_a_dry_run_and_an_import_with_nothing_to_write_are_no_acts(
    progress: Progress,
) -> None:
    dry = batch(users=[catalog.User(user_id="ann")])
    dry.dry_run = True
    await import_as(progress, "officer", [dry])
    await import_as(progress, "officer", [])
    await import_as(progress, "officer", [batch(), batch(users=[catalog.User(user_id="~")])])
    assert await progress.acts() == []


async def test_an_import_is_on_record_before_it_writes_anything(progress: Progress) -> None:
    await progress.put_users("ann")
    async with held(progress, "ann"):
        users = [catalog.User(user_id="ann", display_name="Anna")]
        call = progress.admin.ImportProgress(
            iter([batch(users=users)]), metadata=(("x-laurel-actor", "officer"),)
        )
        reading = asyncio.ensure_future(call.read())
        await waits_for_lock(progress)
        assert await progress.acts() == [BEGUN]
        call.cancel()
        with pytest.raises((asyncio.CancelledError, aio.AioRpcError)):
            await reading

    async def released() -> bool:
        return await progress.acts() == [BEGUN]

    await eventually(released, "it stays on record")
