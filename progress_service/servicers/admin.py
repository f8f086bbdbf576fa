"""ProgressAdminService: imports, corrections, people, verification, status."""

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from grpc import aio

from progress_service.backfill import Backfill, Backfilled
from progress_service.exporter import Exporter
from progress_service.import_batch import ImportBatch, Rejection
from progress_service.importer import Import, Importer
from progress_service.numbered_writer import NumberedWriter
from progress_service.publisher import Publisher
from progress_service.recalculator import Counts, Recalculator
from progress_service.reviewer import Reviewer
from progress_service.servicers import codec
from progress_service.servicers.admin_codec import (
    action_message,
    decision_of,
    erasure_of,
    queue_filters_of,
    reset_of,
)
from progress_service.servicers.audit_codec import backfill_of, backfill_response, verify_response
from progress_service.servicers.import_codec import batch_of, import_response
from progress_service.servicers.list_pages import ACTIONS, FLAGGED, page_of
from progress_service.servicers.views import attempt_message
from progress_service.store import admin_actions, erasures, resets, review_queue, status
from progress_service.store.database import Database, Purpose
from progress_service.verification import Verification, Verified
from shared.caller import actor
from shared.errors import Unavailable
from shared.gen.laurel.progress.v1 import admin_pb2 as pb
from shared.gen.laurel.progress.v1 import admin_pb2_grpc
from shared.signed_token import Signer
from shared.stream_write import write_within
from shared.version import VERSION

Context = aio.ServicerContext[Any, Any]


@dataclass
class ProgressAdminServicer(admin_pb2_grpc.ProgressAdminServiceServicer):
    """Decodes, calls one thing, encodes."""

    database: Database
    importer: Importer
    publisher: Publisher
    numbered: NumberedWriter
    exporter: Exporter
    verification: Verification
    backfill: Backfill
    recalculator: Recalculator
    reviewer: Reviewer
    signer: Signer
    today: Callable[[], date]
    start_time: datetime

    async def ImportProgress(
        self, requests: AsyncIterator[pb.ImportProgressRequest], context: Context
    ) -> None:
        first = await anext(requests, None)
        if first is None:
            return

        async def answer(running: Import, rejections: Sequence[Rejection]) -> None:
            response = import_response(running, rejections)
            await write_within(context.write, response, self.importer.silence_s)

        async with self.importer.open(dry_run=first.dry_run) as running:
            await running.run(self._batches(first, requests), answer)

    async def _batches(
        self, first: pb.ImportProgressRequest, rest: AsyncIterator[pb.ImportProgressRequest]
    ) -> AsyncIterator[ImportBatch]:
        yield batch_of(first)
        async for request in rest:
            if self.publisher.draining.is_set():
                raise Unavailable("DRAINING", "This server is shutting down; run it again.")
            yield batch_of(request)

    async def BackfillTotals(self, request: pb.BackfillTotalsRequest, context: Context) -> None:
        async def send(done: Backfilled) -> None:
            await write_within(context.write, backfill_response(done))

        await self.backfill.run(backfill_of(request), send)

    async def VerifyLedger(self, request: pb.VerifyLedgerRequest, context: Context) -> None:
        async def send(step: Verified) -> None:
            await write_within(context.write, verify_response(step))

        await self.verification.verify(send)

    async def RecalculateCourse(
        self, request: pb.RecalculateCourseRequest, context: Context
    ) -> None:
        course_id = codec.required_id(request.course_id, "course_id")

        async def send(counts: Counts) -> None:
            await write_within(context.write, pb.RecalculateCourseResponse(**counts._asdict()))

        if request.user_id:
            user_id = codec.required_id(request.user_id, "user_id")
            await send(await self.recalculator.one(course_id, user_id, actor()))
        else:
            await self.recalculator.everyone(course_id, actor(), send)

    async def ResetWindow(
        self, request: pb.ResetWindowRequest, context: Context
    ) -> pb.ResetWindowResponse:
        reset = reset_of(request, self.today())
        position = await self.numbered.write(
            lambda connection: resets.reset(connection, reset), context.time_remaining
        )
        return pb.ResetWindowResponse(position=codec.position_message(position))

    async def EraseUser(
        self, request: pb.EraseUserRequest, context: Context
    ) -> pb.EraseUserResponse:
        erasure = erasure_of(request)
        position = await self.numbered.write(
            lambda connection: erasures.erase(connection, erasure),
            context.time_remaining,
            # It may take minutes, and must not keep edits waiting.
            Purpose.AUDIT,
        )
        return pb.EraseUserResponse(position=codec.position_message(position))

    async def ExportUser(self, request: pb.ExportUserRequest, context: Context) -> None:
        user_id = codec.required_id(request.user_id, "user_id")

        async def send(name: str, json: bytes) -> None:
            document = pb.ExportUserResponse(document_name=name, json=json)
            await write_within(context.write, document)

        await self.exporter.export(user_id, actor(), send)

    async def ListFlaggedAttempts(
        self, request: pb.ListFlaggedAttemptsRequest, context: Context
    ) -> pb.ListFlaggedAttemptsResponse:
        filters = queue_filters_of(request)
        page = page_of(self.signer, FLAGGED, tuple(filters.values()), request)
        async with self.database.read() as connection:
            rows = await review_queue.load_page(connection, filters, page.number, page.limit)
            following = await page.next_token(connection, rows)
        return pb.ListFlaggedAttemptsResponse(
            attempts=[attempt_message(row) for row in rows[: page.size]],
            next_page_token=following,
        )

    async def ResolveFlaggedAttempt(
        self, request: pb.ResolveFlaggedAttemptRequest, context: Context
    ) -> pb.ResolveFlaggedAttemptResponse:
        attempt = await self.reviewer.decide(decision_of(request))
        return pb.ResolveFlaggedAttemptResponse(attempt=attempt_message(attempt))

    async def ListAdminActions(
        self, request: pb.ListAdminActionsRequest, context: Context
    ) -> pb.ListAdminActionsResponse:
        user_id = codec.required_id(request.user_id, "user_id") if request.user_id else ""
        page = page_of(self.signer, ACTIONS, (user_id,), request)
        async with self.database.read() as connection:
            rows = await admin_actions.load_page(connection, user_id, page.number, page.limit)
            following = await page.next_token(connection, rows)
        return pb.ListAdminActionsResponse(
            actions=[action_message(row) for row in rows[: page.size]],
            next_page_token=following,
        )

    async def GetStatus(
        self, request: pb.GetStatusRequest, context: Context
    ) -> pb.GetStatusResponse:
        async with self.database.read() as connection:
            found = await status.load(connection)
        return pb.GetStatusResponse(
            head=codec.position_message(found.head.position),
            unnumbered_changes=found.unnumbered_changes,
            users=found.users,
            ledger_entries=found.ledger_entries,
            watchers=self.publisher.watchers,
            start_time=codec.timestamp(self.start_time),
            version=VERSION,
            oldest_sequence=found.oldest_sequence,
        )
