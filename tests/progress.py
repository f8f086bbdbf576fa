"""A running ProgressService as its tests call it: stubs, and short ways to say common things."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from itertools import count

import pytest
from grpc import aio

from progress_service.composition import ProgressApp
from shared.channels import open_channel
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

DEADLINE_S = 20.0
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
    given = {"xp_reward": 50, "max_marks": 100, "pass_ratio": 0.5, **fields}
    return catalog_pb2.Level(level_id=level_id, title=level_id, **given)  # type: ignore[arg-type]


class Progress:
    """Stubs of the four services of one running ProgressService."""

    def __init__(self, app: ProgressApp) -> None:
        self.app = app
        self.target = f"127.0.0.1:{app.server.port}"
        self.channel = open_channel(self.target, own_connection=True)
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
        self, user_id: str, level_id: str, correct: int = 10, total: int = 10, request_id: str = ""
    ) -> progress_pb2.SubmitProgressResponse:
        return await self.progress.SubmitProgress(
            progress_pb2.SubmitProgressRequest(
                user_id=user_id,
                level_id=level_id,
                correct_answers=correct,
                total_questions=total,
                request_id=request_id or f"r{next(_ids)}",
            )
        )

    async def award(
        self, user_id: str, amount: int, **fields: object
    ) -> progress_pb2.AwardXpResponse:
        given = {"source": "test", "request_id": f"r{next(_ids)}", **fields}
        request = progress_pb2.AwardXpRequest(user_id=user_id, amount=amount, **given)  # type: ignore[arg-type]
        return await self.progress.AwardXp(request)

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
