"""Every list of ProgressService, asked in one way, and rows for them."""

from collections.abc import Awaitable, Callable
from typing import Any

from google.protobuf.message import Message

from shared.gen.laurel.progress.v1 import admin_pb2
from shared.gen.laurel.progress.v1 import catalog_pb2 as catalog
from shared.gen.laurel.progress.v1 import progress_pb2 as pb
from shared.gen.laurel.types.v1 import types_pb2
from tests.progress import Progress, level
from tests.review_scene import quick, timed

Page = tuple[list[str], str]
Lister = Callable[[int, str], Awaitable[Page]]
Asked = tuple[str, Message]
"""Service and method, and the request without its page."""

_KEYS = {
    "users": "user_id",
    "courses": "course_id",
    "attempts": "attempt_id",
    "entries": "entry_id",
    "standings": "user_id",
    "learners": "user_id",
    "actions": "detail",
}
"""What tells the rows of an answer apart, by the name of their field."""
_MARKS = types_pb2.Board(metric="marks")
_ATTEMPTS = "progress/ListAttempts"
LISTS: dict[str, Asked] = {
    "users": ("catalog/ListUsers", catalog.ListUsersRequest()),
    "named": ("catalog/ListUsers", catalog.ListUsersRequest(prefix="u")),
    "courses": ("catalog/ListCourses", catalog.ListCoursesRequest()),
    "of a user": (_ATTEMPTS, pb.ListAttemptsRequest(user_id="u0")),
    "of a level": (_ATTEMPTS, pb.ListAttemptsRequest(level_id="l0")),
    "of a course": (_ATTEMPTS, pb.ListAttemptsRequest(course_id="c0")),
    "of all three": (
        _ATTEMPTS,
        pb.ListAttemptsRequest(user_id="u0", course_id="c0", level_id="l0"),
    ),
    "entries": ("progress/ListXpEntries", pb.ListXpEntriesRequest(user_id="u0")),
    "learners": ("progress/ListCourseProgress", pb.ListCourseProgressRequest(course_id="c0")),
    "standings": ("standings/ListStandings", pb.ListStandingsRequest()),
    "marks": ("standings/ListStandings", pb.ListStandingsRequest(board=_MARKS)),
    "flagged": ("admin/ListFlaggedAttempts", admin_pb2.ListFlaggedAttemptsRequest()),
    "actions": ("admin/ListAdminActions", admin_pb2.ListAdminActionsRequest()),
}


def lists(progress: Progress) -> dict[str, Lister]:
    """Each list as (page size, token) to (keys in their order, next token)."""
    return {name: _lister(progress, *asked) for name, asked in LISTS.items()}


def _lister(progress: Progress, path: str, template: Message) -> Lister:
    service, method = path.split("/")
    ask = getattr(getattr(progress, service), method)

    async def lister(size: int, token: str) -> Page:
        request: Any = type(template)()
        request.CopyFrom(template)
        request.page_size, request.page_token = size, token
        page = await ask(request)
        field = next(name for name in _KEYS if name in page.DESCRIPTOR.fields_by_name)
        return [getattr(row, _KEYS[field]) for row in getattr(page, field)], page.next_page_token

    return lister


async def filled(progress: Progress) -> None:
    """Four of everything at least."""
    users = [f"u{n}" for n in range(7)]
    await progress.put_users(*users)
    for n in range(5):
        await progress.put_course(f"c{n}", level(f"l{n}"))
    for n, user_id in enumerate(users):
        for k in range(6):
            await progress.submit(user_id, "l0" if k < 4 else "l1", k + 1 + n % 3)
    for n in range(6):
        await progress.award("u0", n + 1)
    await progress.put_course("t", timed("t0"))
    for n, user_id in enumerate(users):
        await quick(progress, user_id, "t0")
        await progress.reset(f"reset-{n}", period=f"201{n}", window=types_pb2.WINDOW_YEAR)
    await progress.settled()
