"""ResetWindow as a request: once for each request id, and well formed."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

from progress_service.settings import ProgressSettings
from shared.errors import Conflict, InvalidInput, NotFound, Unavailable
from shared.gen.laurel.progress.v1 import admin_pb2
from shared.gen.laurel.types.v1 import types_pb2
from tests.conftest import running_progress
from tests.progress import Progress, level, refused

WEEK: dict[str, Any] = {"window": types_pb2.WINDOW_WEEK, "period": "2026-W10"}
EARNED = datetime(2026, 3, 4, 12, tzinfo=UTC)


def reset_request(request_id: str, **board: Any) -> admin_pb2.ResetWindowRequest:
    return admin_pb2.ResetWindowRequest(board=types_pb2.Board(**board), request_id=request_id)


async def test_a_request_id_resets_once_and_replays_its_position(progress: Progress) -> None:
    await progress.put_users("ann")
    positions = await asyncio.gather(*(progress.reset("q1", **WEEK) for _ in range(8)))
    assert len({(one.epoch, one.sequence) for one in positions}) == 1
    await progress.award("ann", 5, occurred_time=EARNED)
    assert await progress.reset("q1", **WEEK) == positions[0]
    assert await progress.top(**WEEK) == [(1, "ann", 5)]
    for board in ({}, {**WEEK, "course_id": "c"}, {**WEEK, "metric": "marks"}):
        async with refused(Conflict, "REQUEST_ID_REUSED") as errors:
            await progress.reset("q1", **board)
        assert errors[0].metadata == {"request_id": "q1"}
    # The default spelled out is the same request.
    assert await progress.reset("q1", metric="xp", **WEEK) == positions[0]
    page = await progress.admin.ListAdminActions(admin_pb2.ListAdminActionsRequest())
    assert [(one.method, one.detail) for one in page.actions] == [
        ("laurel.progress.v1.ProgressAdminService/ResetWindow", "xp//week/2026-W10")
    ]


async def test_a_retry_after_midnight_is_the_same_request(postgres_url: str) -> None:
    now = EARNED
    settings = ProgressSettings(postgres_url=postgres_url, drain_seconds=0.5)
    async with running_progress(settings, lambda: now) as progress:
        first = await progress.reset("q1", window=types_pb2.WINDOW_DAY)
        now += timedelta(days=1)
        assert await progress.reset("q1", window=types_pb2.WINDOW_DAY) == first
        assert (await progress.settled()) == first
        other = await progress.reset("q2", window=types_pb2.WINDOW_DAY)
        assert other.sequence == first.sequence + 1


async def test_a_replay_tells_the_same_position_under_a_later_tenure(postgres_url: str) -> None:
    settings = ProgressSettings(postgres_url=postgres_url, drain_seconds=0.2)
    async with running_progress(settings) as progress:
        await progress.put_users("ann")
        first = await progress.reset("q1")
    async with running_progress(settings) as progress:
        await progress.put_users("bob")
        assert (await progress.settled()).epoch != first.epoch
        assert await progress.reset("q1") == first


async def test_a_reset_that_gets_no_number_in_time_says_that_a_retry_tells(
    progress: Progress,
) -> None:
    await progress.put_users("ann")
    await progress.settled()
    async with progress.numbering_held():
        async with refused(Unavailable, "NOT_NUMBERED_YET") as errors:
            await progress.admin.ResetWindow(reset_request("q1"), timeout=1)
        assert errors[0].retry_delay_s
    assert (await progress.reset("q1")).sequence == 2
    assert (await progress.settled()).sequence == 2


async def test_what_is_no_board_or_no_request_id_is_refused(progress: Progress) -> None:
    for request, field in (
        (admin_pb2.ResetWindowRequest(request_id="q1"), "board"),
        (reset_request("q1", metric="no metric"), "board.metric"),
        (reset_request("q1", course_id="~"), "board.course_id"),
        (reset_request("q1", window=9), "board.window"),
        (reset_request("q1", period="2026-W10"), "board.period"),
        (reset_request("q1", window=types_pb2.WINDOW_WEEK, period="2026-03"), "board.period"),
        (reset_request(""), "request_id"),
        (reset_request("q 1"), "request_id"),
    ):
        async with refused(InvalidInput, "INVALID_FIELD") as errors:
            await progress.admin.ResetWindow(request)
        assert [violation.field for violation in errors[0].violations] == [field]
    async with progress.sql() as sql:
        assert await sql.fetchval("SELECT count(*) FROM admin_requests") == 0


async def test_an_unknown_metric_or_course_is_refused_and_nothing_is_written(
    progress: Progress,
) -> None:
    await progress.put_course("c", level("l1"))
    for board, reason in (
        ({"metric": "nothing"}, "METRIC_NOT_FOUND"),
        ({"metric": "nothing", "course_id": "c"}, "METRIC_NOT_FOUND"),
        ({"course_id": "nowhere"}, "COURSE_NOT_FOUND"),
    ):
        async with refused(NotFound, reason):
            await progress.reset("q1", **board)
    async with progress.sql() as sql:
        for table in ("admin_requests", "unnumbered_changes", "changes", "boards"):
            assert await sql.fetchval(f"SELECT count(*) FROM {table}") == 0
    assert "ResetWindow" not in [method for method, _, _ in await progress.acts()]
    # The request id is free for what was meant.
    await progress.reset("q1", course_id="c")
