"""ListAdminActions: who did what to whom, newest first."""

import pytest

from shared.errors import InvalidInput
from shared.gen.laurel.progress.v1 import admin_pb2
from shared.gen.laurel.types.v1 import types_pb2
from tests.progress import Progress, refused


async def act(progress: Progress, n: int) -> None:
    """A reset, by a caller of its own."""
    await progress.admin.ResetWindow(
        admin_pb2.ResetWindowRequest(board=types_pb2.Board(course_id=f"c{n}"), request_id=f"q{n}"),
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
        (f"{service}/ExportUser", "", "ann", ""),
        (f"{service}/ResetWindow", "admin-1", "", "xp/c1/all_time/"),
    ]
    assert page.actions[0].create_time.seconds >= page.actions[1].create_time.seconds > 0


@pytest.mark.parametrize("page_size", [1, 3, 7, 8])
async def test_pages_hold_every_action_once_newest_first(
    progress: Progress, page_size: int
) -> None:
    for n in range(7):
        await act(progress, n)
    assert await details(progress, page_size) == [f"xp/c{n}/all_time/" for n in reversed(range(7))]


async def test_pages_stay_as_they_are_while_actions_are_added(progress: Progress) -> None:
    for n in range(4):
        await act(progress, n)
    request = admin_pb2.ListAdminActionsRequest(page_size=2)
    page = await progress.admin.ListAdminActions(request)
    await act(progress, 4)
    request.page_token = page.next_page_token
    rest = await progress.admin.ListAdminActions(request)
    assert [one.detail for one in (*page.actions, *rest.actions)] == [
        f"xp/c{n}/all_time/" for n in (3, 2, 1, 0)
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
