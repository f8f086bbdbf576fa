"""ProgressService: submissions, awards, and what became of them."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from grpc import aio
from sqlalchemy.ext.asyncio import AsyncConnection

from progress_service.committer import GroupCommitter
from progress_service.domain import streak
from progress_service.domain.correction import Correction
from progress_service.publisher import Publisher
from progress_service.servicers import codec, consistency_token
from progress_service.servicers.commands import (
    award_of,
    revocation_of,
    submission_of,
    void_of,
)
from progress_service.servicers.list_pages import ATTEMPTS, ENTRIES, LEARNERS, page_of
from progress_service.servicers.newcomers import Newcomers, may_be_first
from progress_service.servicers.own_calls import OwnCalls
from progress_service.servicers.stats_codec import freezes_of, stats_message
from progress_service.servicers.views import (
    attempt_message,
    award_response,
    course_progress_message,
    entry_message,
    learner_progress_message,
    revocation_response,
    submission_response,
    void_response,
)
from progress_service.store import (
    course_progress,
    freezes,
    progress_read,
    revocations,
    stats,
    voids,
)
from progress_service.store.courses import CourseCache
from progress_service.store.database import Database
from progress_service.store.not_found import user_not_found
from progress_service.store.outcomes import Recorded
from progress_service.store.positions import Position
from shared.caller import request_id
from shared.errors import invalid_field
from shared.gen.laurel.progress.v1 import progress_pb2 as pb
from shared.gen.laurel.progress.v1 import progress_pb2_grpc
from shared.signed_token import Signer

Context = aio.ServicerContext[Any, Any]
Correct = Callable[[AsyncConnection, Correction, ZoneInfo], Awaitable[Recorded]]


@dataclass
class ProgressServicer(progress_pb2_grpc.ProgressServiceServicer):
    """Decodes, calls one thing, encodes."""

    database: Database
    courses: CourseCache
    committer: GroupCommitter
    publisher: Publisher
    signer: Signer
    zone: ZoneInfo
    clock: Callable[[], datetime]
    own_calls: OwnCalls
    newcomers: Newcomers

    @may_be_first
    async def SubmitProgress(
        self, request: pb.SubmitProgressRequest, context: Context
    ) -> pb.SubmitProgressResponse:
        submission = self.own_calls.submission(submission_of(request))
        recorded = await self.committer.record(submission)
        return submission_response(submission, recorded, self._token(recorded))

    @may_be_first
    async def AwardXp(self, request: pb.AwardXpRequest, context: Context) -> pb.AwardXpResponse:
        recorded = await self.committer.record(self.own_calls.award(award_of(request)))
        return award_response(recorded, self._token(recorded))

    async def VoidAttempt(
        self, request: pb.VoidAttemptRequest, context: Context
    ) -> pb.VoidAttemptResponse:
        recorded = await self._correct(void_of(request), voids.void)
        return void_response(recorded, self._token(recorded))

    async def RevokeXp(self, request: pb.RevokeXpRequest, context: Context) -> pb.RevokeXpResponse:
        recorded = await self._correct(revocation_of(request), revocations.revoke)
        return revocation_response(recorded, self._token(recorded))

    def _token(self, recorded: Recorded) -> str:
        return consistency_token.encode(self.signer, recorded.mark)

    async def _correct(self, correction: Correction, correct: Correct) -> Recorded:
        async def work(connection: AsyncConnection) -> Recorded:
            return await correct(connection, correction, self.zone)

        recorded = await self.database.write(work)
        self.committer.on_commit()
        self.committer.credit_log.write([recorded], [request_id()])
        return recorded

    @may_be_first
    async def GetUserStats(
        self, request: pb.GetUserStatsRequest, context: Context
    ) -> pb.GetUserStatsResponse:
        user_id = codec.required_id(request.user_id, "user_id")
        now = self.clock()
        async with self.database.read() as connection:
            today = streak.civil_day(now, self.zone)
            found = await stats.load(connection, self.courses, user_id, today)
        if found is None:
            raise user_not_found(user_id)
        return stats_message(found, now, self.zone)

    async def GrantStreakFreezes(
        self, request: pb.GrantStreakFreezesRequest, context: Context
    ) -> pb.GrantStreakFreezesResponse:
        wanted = freezes_of(request)

        async def work(connection: AsyncConnection) -> int:
            return await freezes.grant(connection, wanted, self.clock(), self.zone)

        return pb.GrantStreakFreezesResponse(streak_freezes=await self.database.write(work))

    @may_be_first
    async def GetCourseProgress(
        self, request: pb.GetCourseProgressRequest, context: Context
    ) -> pb.GetCourseProgressResponse:
        user_id = codec.required_id(request.user_id, "user_id")
        course_id = codec.required_id(request.course_id, "course_id")
        return course_progress_message(
            await course_progress.of_learner(self.database, self.courses, user_id, course_id)
        )

    async def ListCourseProgress(
        self, request: pb.ListCourseProgressRequest, context: Context
    ) -> pb.ListCourseProgressResponse:
        course_id = codec.required_id(request.course_id, "course_id")
        page = page_of(self.signer, LEARNERS, (course_id,), request)
        async with self.database.read() as connection:
            course, found = await course_progress.page(
                connection, self.courses, course_id, page.after, page.limit
            )
            following = await page.next_token(connection, found)
        return pb.ListCourseProgressResponse(
            learners=[learner_progress_message(course, one) for one in found[: page.size]],
            next_page_token=following,
        )

    @may_be_first
    async def ListAttempts(
        self, request: pb.ListAttemptsRequest, context: Context
    ) -> pb.ListAttemptsResponse:
        wanted = _attempt_filter(request)
        filters = (wanted.user_id, wanted.course_id, wanted.level_id)
        page = page_of(self.signer, ATTEMPTS, filters, request)
        async with self.database.read() as connection:
            rows = await progress_read.load_attempts(connection, wanted, page.number, page.limit)
            following = await page.next_token(connection, rows)
        return pb.ListAttemptsResponse(
            attempts=[attempt_message(row) for row in rows[: page.size]],
            next_page_token=following,
        )

    @may_be_first
    async def ListXpEntries(
        self, request: pb.ListXpEntriesRequest, context: Context
    ) -> pb.ListXpEntriesResponse:
        user_id = codec.required_id(request.user_id, "user_id")
        page = page_of(self.signer, ENTRIES, (user_id,), request)
        async with self.database.read() as connection:
            if not await progress_read.user_exists(connection, user_id):
                raise user_not_found(user_id)
            rows = await progress_read.load_entries(connection, user_id, page.number, page.limit)
            following = await page.next_token(connection, rows)
        return pb.ListXpEntriesResponse(
            entries=[entry_message(row) for row in rows[: page.size]],
            next_page_token=following,
        )

    async def WatchXpDeltas(self, request: pb.WatchXpDeltasRequest, context: Context) -> None:
        after = Position(request.after.epoch, request.after.sequence)
        await self.publisher.watch(after, context.write)


def _attempt_filter(request: pb.ListAttemptsRequest) -> progress_read.AttemptFilter:
    for field in ("user_id", "course_id", "level_id"):
        value = getattr(request, field)
        if value:
            codec.required_id(value, field)
    if not (request.user_id or request.course_id or request.level_id):
        raise invalid_field("user_id", "or course_id or level_id must be set")
    return progress_read.AttemptFilter(request.user_id, request.course_id, request.level_id)
