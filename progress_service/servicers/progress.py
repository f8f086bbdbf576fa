"""ProgressService: submissions, awards, and what became of them."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from grpc import aio
from sqlalchemy.ext.asyncio import AsyncConnection

from progress_service.committer import GroupCommitter
from progress_service.domain import bounds, streak
from progress_service.domain.course import Course
from progress_service.publisher import Publisher
from progress_service.servicers import codec, list_token
from progress_service.servicers.commands import award_of, submission_of
from progress_service.servicers.views import (
    attempt_message,
    course_progress_message,
    entry_message,
    submission_response,
)
from progress_service.store import courses, progress_read, revocations, stats
from progress_service.store.database import Database
from progress_service.store.not_found import course_not_found, user_not_found
from progress_service.store.outcomes import Recorded
from progress_service.store.positions import Position
from progress_service.store.revocations import Revocation
from progress_service.store.zones import zone_of
from shared.caller import actor, request_id
from shared.errors import invalid_field
from shared.gen.laurel.progress.v1 import progress_pb2 as pb
from shared.gen.laurel.progress.v1 import progress_pb2_grpc
from shared.periods import Window

Context = aio.ServicerContext[Any, Any]


@dataclass
class ProgressServicer(progress_pb2_grpc.ProgressServiceServicer):
    """Decodes, calls one thing, encodes."""

    database: Database
    committer: GroupCommitter
    publisher: Publisher
    zone: ZoneInfo
    clock: Callable[[], datetime]

    async def SubmitProgress(
        self, request: pb.SubmitProgressRequest, context: Context
    ) -> pb.SubmitProgressResponse:
        submission = submission_of(request)
        recorded = await self.committer.record(submission)
        return submission_response(submission, recorded)

    async def AwardXp(self, request: pb.AwardXpRequest, context: Context) -> pb.AwardXpResponse:
        recorded = await self.committer.record(award_of(request))
        return pb.AwardXpResponse(**recorded.answer, replayed=recorded.replayed)

    async def RevokeXp(self, request: pb.RevokeXpRequest, context: Context) -> pb.RevokeXpResponse:
        revocation = _revocation_of(request)

        async def work(connection: AsyncConnection) -> Recorded:
            return await revocations.revoke(connection, revocation)

        recorded = await self.database.write(work)
        self.committer.on_commit()
        self.committer.credit_log.write([recorded], [request_id()])
        return pb.RevokeXpResponse(**recorded.answer)

    async def GetUserStats(
        self, request: pb.GetUserStatsRequest, context: Context
    ) -> pb.GetUserStatsResponse:
        user_id = codec.required_id(request.user_id, "user_id")
        now = self.clock()
        async with self.database.read() as connection:
            found = await stats.load(connection, user_id, streak.civil_day(now, self.zone))
        if found is None:
            raise user_not_found(user_id)
        return _stats_message(user_id, found, now, self.zone)

    async def GetCourseProgress(
        self, request: pb.GetCourseProgressRequest, context: Context
    ) -> pb.GetCourseProgressResponse:
        user_id = codec.required_id(request.user_id, "user_id")
        course_id = codec.required_id(request.course_id, "course_id")
        async with self.database.read() as connection:
            if not await progress_read.user_exists(connection, user_id):
                raise user_not_found(user_id)
            course = await _course(connection, course_id)
            levels = await progress_read.load_levels(connection, user_id, course_id)
        return course_progress_message(course, levels)

    async def ListAttempts(
        self, request: pb.ListAttemptsRequest, context: Context
    ) -> pb.ListAttemptsResponse:
        wanted = _attempt_filter(request)
        filters = (wanted.user_id, wanted.course_id, wanted.level_id)
        size = codec.page_size(request.page_size)
        before = list_token.decode_number(request.page_token, "attempts", filters)
        async with self.database.read() as connection:
            rows = await progress_read.load_attempts(connection, wanted, before, size + 1)
        response = pb.ListAttemptsResponse(attempts=[attempt_message(row) for row in rows[:size]])
        if len(rows) > size:
            last = str(rows[size - 1].attempt_id)
            response.next_page_token = list_token.encode("attempts", filters, last)
        return response

    async def ListXpEntries(
        self, request: pb.ListXpEntriesRequest, context: Context
    ) -> pb.ListXpEntriesResponse:
        user_id = codec.required_id(request.user_id, "user_id")
        size = codec.page_size(request.page_size)
        before = list_token.decode_number(request.page_token, "entries", (user_id,))
        async with self.database.read() as connection:
            if not await progress_read.user_exists(connection, user_id):
                raise user_not_found(user_id)
            rows = await progress_read.load_entries(connection, user_id, before, size + 1)
        response = pb.ListXpEntriesResponse(entries=[entry_message(row) for row in rows[:size]])
        if len(rows) > size:
            last = str(rows[size - 1].entry_id)
            response.next_page_token = list_token.encode("entries", (user_id,), last)
        return response

    async def WatchXpDeltas(self, request: pb.WatchXpDeltasRequest, context: Context) -> None:
        after = Position(request.after.epoch, request.after.sequence)
        await self.publisher.watch(after, context.write)


async def _course(connection: AsyncConnection, course_id: str) -> Course:
    course = (await courses.load(connection, [course_id])).get(course_id)
    if course is None:
        raise course_not_found(course_id)
    return course


def _attempt_filter(request: pb.ListAttemptsRequest) -> progress_read.AttemptFilter:
    for field in ("user_id", "course_id", "level_id"):
        value = getattr(request, field)
        if value:
            codec.required_id(value, field)
    if not (request.user_id or request.course_id or request.level_id):
        raise invalid_field("user_id", "or course_id or level_id must be set")
    return progress_read.AttemptFilter(request.user_id, request.course_id, request.level_id)


def _revocation_of(request: pb.RevokeXpRequest) -> Revocation:
    if not bounds.is_request_id(request.request_id):
        raise invalid_field("request_id", "must be 1 to 128 printable ASCII characters")
    if not bounds.is_plain_text(request.reason, bounds.MAX_REASON_CHARS):
        raise invalid_field("reason", "must be at most 500 printable characters")
    return Revocation(
        codec.number_id(request.entry_id, "entry_id"),
        request.reason,
        request.request_id,
        actor(),
    )


def _stats_message(
    user_id: str, found: stats.UserStats, now: datetime, deployment: ZoneInfo
) -> pb.GetUserStatsResponse:
    zone = zone_of(found.time_zone, deployment)
    last_active = streak.last_active(found.runs)
    return pb.GetUserStatsResponse(
        user_id=user_id,
        metrics=[
            pb.MetricStats(
                metric=metric,
                all_time=scores.get(Window.ALL_TIME, 0),
                year=scores.get(Window.YEAR, 0),
                month=scores.get(Window.MONTH, 0),
                week=scores.get(Window.WEEK, 0),
                day=scores.get(Window.DAY, 0),
            )
            for metric, scores in sorted(found.totals.items())
        ],
        streak_days=streak.current_streak(found.runs, streak.civil_day(now, zone)),
        longest_streak_days=streak.longest_streak(found.runs),
        last_active_date=last_active.isoformat() if last_active else "",
        levels_completed=found.levels_completed,
        update_time=codec.timestamp(found.update_time),
        position=codec.position_message(found.head.position),
    )
