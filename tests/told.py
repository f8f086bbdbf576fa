"""What ProgressService tells of what it holds, to compare it with what it tells later."""

from collections.abc import AsyncIterable, Iterable
from typing import Any

from google.protobuf.message import Message
from grpc import aio

from shared.gen.laurel.progress.v1 import admin_pb2
from shared.gen.laurel.progress.v1 import progress_pb2 as pb
from shared.gen.laurel.types.v1 import types_pb2
from shared.status import error_from_rpc
from tests.audit import verify
from tests.history_fold import snapshot
from tests.progress import Progress

Told = dict[str, Any]


async def answer(call: Any) -> Any:
    """An answer, or the refusal, in a form that can be compared."""
    try:
        return (await call).SerializeToString(deterministic=True)
    except aio.AioRpcError as error:
        typed = error_from_rpc(error)
        return (type(typed), typed.reason, typed.metadata)


async def last(call: AsyncIterable[Message]) -> bytes:
    """The last answer, which sums up; how many come before it is a matter of time."""
    return [one.SerializeToString(deterministic=True) async for one in call][-1]


class Retries:
    """Stands for a stub, and remembers what was asked of it, and what it answered."""

    def __init__(self, stub: Any, methods: Iterable[str]) -> None:
        self._stub = stub
        self._methods = frozenset(methods)
        self.calls: list[tuple[str, Message, Any]] = []

    def __getattr__(self, method: str) -> Any:
        call = getattr(self._stub, method)
        if method not in self._methods:
            return call

        async def remembered(request: Message, **options: Any) -> Any:
            found = await call(request, **options)
            self.calls.append((method, request, found.SerializeToString(deterministic=True)))
            return found

        return remembered

    async def all_again(self) -> list[tuple[str, Any]]:
        """What each call is answered when it is made again."""
        return [
            (method, await answer(getattr(self._stub, method)(request)))
            for method, request, _ in self.calls
        ]


async def told(progress: Progress, users: Iterable[str]) -> Told:
    """All that is told without being changed by it, at the head."""
    await progress.settled()
    found: Told = {"boards": [], "standings": []}
    folded, position = await snapshot(progress)
    found["snapshot"] = (folded.profiles, folded.counted, str(position))
    async with progress.sql() as sql:
        boards = await sql.fetch(
            """SELECT metric, course_id, board_window AS window, period FROM boards
               ORDER BY 1, 2, 3, 4"""
        )
    for row in boards:
        board = types_pb2.Board(**row)
        listed = pb.ListStandingsRequest(board=board, page_size=500)
        found["boards"].append(await answer(progress.standings.ListStandings(listed)))
        batch = pb.BatchGetStandingsRequest(board=board, user_ids=users)
        found["standings"].append(await answer(progress.standings.BatchGetStandings(batch)))
    mismatches, at = await verify(progress)
    found["ledger"] = (mismatches, str(at))
    dry_run = admin_pb2.BackfillTotalsRequest(dry_run=True, credit_missing=True)
    found["backfill"] = await last(progress.admin.BackfillTotals(dry_run))
    for user in users:
        found[user] = [await answer(call) for call in _of_user(progress, user)]
    return found


def _of_user(progress: Progress, user: str) -> list[Any]:
    calls = progress.progress
    return [
        calls.GetUserStats(pb.GetUserStatsRequest(user_id=user)),
        calls.GetCourseProgress(pb.GetCourseProgressRequest(user_id=user, course_id="c")),
        calls.ListXpEntries(pb.ListXpEntriesRequest(user_id=user, page_size=500)),
        calls.ListAttempts(pb.ListAttemptsRequest(user_id=user, page_size=500)),
        progress.admin.ListAdminActions(
            admin_pb2.ListAdminActionsRequest(user_id=user, page_size=500)
        ),
    ]
