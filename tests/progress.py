"""A running ProgressService as its tests call it: stubs, and short ways to say common things."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from itertools import count

import asyncpg
import pytest
from grpc import aio

from progress_service.composition import ProgressApp
from shared.errors import LaurelError
from shared.gen.laurel.progress.v1 import (
    admin_pb2,
    admin_pb2_grpc,
    catalog_pb2,
    catalog_pb2_grpc,
    progress_pb2,
    progress_pb2_grpc,
)
from shared.gen.laurel.types.v1 import types_pb2
from shared.status import error_from_rpc
from shared.tls import channel_credentials
from tests.access import open_channel

DEADLINE_S = 20.0
SEQUENCER_LOCK = 0x4C61_7572_656C_0002
_ids = count(1)


async def eventually(condition: Callable[[], Awaitable[bool]], what: str) -> None:
    """Asks again and again until `condition` holds; fails after a generous deadline."""
    deadline = time.monotonic() + DEADLINE_S
    while not await condition():
        if time.monotonic() > deadline:
            pytest.fail(f"not within {DEADLINE_S} s: {what}")
        await asyncio.sleep(0.01)


@asynccontextmanager
async def refused(kind: type[LaurelError], reason: str) -> AsyncIterator[list[LaurelError]]:
    """The block must end in an error of this kind and reason; it is in the list afterwards."""
    caught: list[LaurelError] = []
    try:
        yield caught
    except aio.AioRpcError as error:
        typed = error_from_rpc(error)
        caught.append(typed)
        assert (type(typed), typed.reason) == (kind, reason), typed.message
    else:
        pytest.fail(f"was not refused with {reason}")


def level(level_id: str, **fields: object) -> catalog_pb2.Level:
    """A level of 10 questions, 100 marks and 50 XP that is passed with 5 right answers."""
    given = {"title": level_id, "xp_reward": 50, "max_marks": 100, "pass_ratio": 0.5, **fields}
    return catalog_pb2.Level(level_id=level_id, **given)  # type: ignore[arg-type]


def submission(
    user_id: str,
    level_id: str,
    correct: int | None = 10,
    total: int = 10,
    request_id: str = "",
    **fields: object,
) -> progress_pb2.SubmitProgressRequest:
    """An attempt, all right unless said otherwise, under a request id of its own."""
    return progress_pb2.SubmitProgressRequest(
        user_id=user_id,
        level_id=level_id,
        correct_answers=correct,
        total_questions=total,
        request_id=request_id or f"r{next(_ids)}",
        **fields,  # type: ignore[arg-type]
    )


def award(user_id: str, amount: int, **fields: object) -> progress_pb2.AwardXpRequest:
    """A credit of XP from "test" unless said otherwise, under a request id of its own."""
    given = {"source": "test", "request_id": f"r{next(_ids)}", **fields}
    return progress_pb2.AwardXpRequest(user_id=user_id, amount=amount, **given)  # type: ignore[arg-type]


class Progress:
    """Stubs of the four services of one running ProgressService."""

    def __init__(self, app: ProgressApp) -> None:
        self.app = app
        self.target = f"127.0.0.1:{app.server.port}"
        credentials = channel_credentials(app.settings)
        self.channel = open_channel(self.target, own_connection=True, credentials=credentials)
        self.progress = progress_pb2_grpc.ProgressServiceStub(self.channel)
        self.standings = progress_pb2_grpc.StandingsServiceStub(self.channel)
        self.catalog = catalog_pb2_grpc.CatalogServiceStub(self.channel)
        self.admin = admin_pb2_grpc.ProgressAdminServiceStub(self.channel)

    async def close(self) -> None:
        await self.channel.close()

    async def put_users(self, *user_ids: str) -> None:
        for user_id in user_ids:
            user = catalog_pb2.User(user_id=user_id, display_name=user_id.title())
            await self.catalog.PutUser(catalog_pb2.PutUserRequest(user=user))

    async def put_course(
        self,
        course_id: str,
        *levels: catalog_pb2.Level,
        mode: catalog_pb2.UnlockMode.ValueType = catalog_pb2.UNLOCK_MODE_OPEN,
    ) -> catalog_pb2.PutCourseResponse:
        section = catalog_pb2.Section(section_id="s", title="S", levels=levels)
        course = catalog_pb2.Course(
            course_id=course_id, title=course_id, unlock_mode=mode, sections=[section]
        )
        return await self.catalog.PutCourse(catalog_pb2.PutCourseRequest(course=course))

    async def submit(
        self,
        user_id: str,
        level_id: str,
        correct: int = 10,
        total: int = 10,
        request_id: str = "",
        **fields: object,
    ) -> progress_pb2.SubmitProgressResponse:
        return await self.progress.SubmitProgress(
            submission(user_id, level_id, correct, total, request_id, **fields)
        )

    async def award(
        self, user_id: str, amount: int, **fields: object
    ) -> progress_pb2.AwardXpResponse:
        return await self.progress.AwardXp(award(user_id, amount, **fields))

    async def revoke(
        self, entry_id: str, request_id: str = "", reason: str = ""
    ) -> progress_pb2.RevokeXpResponse:
        return await self.progress.RevokeXp(
            progress_pb2.RevokeXpRequest(
                entry_id=entry_id, reason=reason, request_id=request_id or f"r{next(_ids)}"
            )
        )

    async def void(
        self, attempt_id: str, request_id: str = "", reason: str = ""
    ) -> progress_pb2.VoidAttemptResponse:
        return await self.progress.VoidAttempt(
            progress_pb2.VoidAttemptRequest(
                attempt_id=attempt_id, reason=reason, request_id=request_id or f"r{next(_ids)}"
            )
        )

    async def flagged(self, page_size: int = 500, **filters: str) -> list[progress_pb2.Attempt]:
        """All attempts under review, oldest first, page by page."""
        found: list[progress_pb2.Attempt] = []
        request = admin_pb2.ListFlaggedAttemptsRequest(page_size=page_size, **filters)
        while True:
            page = await self.admin.ListFlaggedAttempts(request)
            found += page.attempts
            request.page_token = page.next_page_token
            if not request.page_token:
                return found

    async def resolve(
        self, attempt_id: str, *, accept: bool, reason: str = ""
    ) -> progress_pb2.Attempt:
        """The attempt as the decision leaves it."""
        request = admin_pb2.ResolveFlaggedAttemptRequest(
            attempt_id=attempt_id, accept=accept, reason=reason
        )
        return (await self.admin.ResolveFlaggedAttempt(request)).attempt

    async def reset(self, request_id: str, **board: object) -> types_pb2.Position:
        """Where the reset of the board stands in the history."""
        request = admin_pb2.ResetWindowRequest(
            board=types_pb2.Board(**board),  # type: ignore[arg-type]
            request_id=request_id,
        )
        return (await self.admin.ResetWindow(request)).position

    async def erase(self, user_id: str, actor: str = "") -> types_pb2.Position:
        """Where the erasure stands in the history."""
        metadata = (("x-laurel-actor", actor),) if actor else ()
        request = admin_pb2.EraseUserRequest(user_id=user_id)
        return (await self.admin.EraseUser(request, metadata=metadata)).position

    async def stats(self, user_id: str) -> progress_pb2.GetUserStatsResponse:
        return await self.progress.GetUserStats(progress_pb2.GetUserStatsRequest(user_id=user_id))

    async def totals(self, user_id: str) -> dict[str, int]:
        """The user's all-time totals by metric, as GetUserStats tells them."""
        return {one.metric: one.all_time for one in (await self.stats(user_id)).metrics}

    async def entries(self, user_id: str) -> list[progress_pb2.XpEntry]:
        """The user's whole ledger, newest first."""
        found: list[progress_pb2.XpEntry] = []
        request = progress_pb2.ListXpEntriesRequest(user_id=user_id, page_size=500)
        while True:
            page = await self.progress.ListXpEntries(request)
            found += page.entries
            request.page_token = page.next_page_token
            if not request.page_token:
                return found

    async def attempts(self, **filters: str) -> list[progress_pb2.Attempt]:
        """Up to 500 attempts, newest first."""
        request = progress_pb2.ListAttemptsRequest(page_size=500, **filters)
        return list((await self.progress.ListAttempts(request)).attempts)

    async def acts(self, user_id: str = "") -> list[tuple[str, str, str]]:
        """Method, actor and detail of the administrative acts, newest first."""
        request = admin_pb2.ListAdminActionsRequest(user_id=user_id, page_size=500)
        found = (await self.admin.ListAdminActions(request)).actions
        return [(one.method.rpartition("/")[2], one.actor, one.detail) for one in found]

    async def course_progress(
        self, user_id: str, course_id: str
    ) -> progress_pb2.GetCourseProgressResponse:
        return await self.progress.GetCourseProgress(
            progress_pb2.GetCourseProgressRequest(user_id=user_id, course_id=course_id)
        )

    @asynccontextmanager
    async def sql(self) -> AsyncIterator[asyncpg.Connection]:
        """A connection to the service's database that is none of the service's."""
        connection = await self.app.database.connect()
        try:
            yield connection
        finally:
            await connection.close()

    @asynccontextmanager
    async def numbering_held(self) -> AsyncIterator[None]:
        """No sequencer can number anything within the block."""
        async with self.sql() as sql, sql.transaction():
            await sql.execute("SELECT pg_advisory_xact_lock($1)", SEQUENCER_LOCK)
            yield

    async def settled(self) -> types_pb2.Position:
        """The head of the history, once everything that is committed has a number."""
        found = await self.standings.ListStandings(progress_pb2.ListStandingsRequest())

        async def numbered() -> bool:
            nonlocal found
            status = await self.admin.GetStatus(admin_pb2.GetStatusRequest())
            if status.unnumbered_changes:
                return False
            found = await self.standings.ListStandings(progress_pb2.ListStandingsRequest())
            return found.position.sequence == status.head.sequence

        await eventually(numbered, "every change is numbered")
        return found.position

    async def top(self, **board: object) -> list[tuple[int, str, int]]:
        """(rank, user_id, score) of the board's first page, as PostgreSQL has it."""
        await self.settled()
        request = progress_pb2.ListStandingsRequest(board=types_pb2.Board(**board))  # type: ignore[arg-type]
        found = await self.standings.ListStandings(request)
        return [(one.rank, one.user_id, one.score) for one in found.standings]


@asynccontextmanager
async def held(progress: Progress, user_id: str) -> AsyncIterator[asyncpg.Connection]:
    """The user's row is locked by someone else for the length of the block."""
    async with progress.sql() as sql, sql.transaction():
        await sql.execute("SELECT FROM users WHERE user_id = $1 FOR UPDATE", user_id)
        yield sql


async def waits_for_lock(progress: Progress) -> None:
    """Until a connection of the service waits for a lock."""
    async with progress.sql() as sql:

        async def waits() -> bool:
            return bool(
                await sql.fetchval(
                    """SELECT EXISTS (SELECT FROM pg_stat_activity
                       WHERE datname = current_database() AND wait_event_type = 'Lock'
                         AND application_name = 'laurel_progress')"""
                )
            )

        await eventually(waits, "a writer waits for the lock")
