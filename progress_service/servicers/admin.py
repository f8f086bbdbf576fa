"""ProgressAdminService: imports and status."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from grpc import aio

from progress_service.domain import user
from progress_service.import_writers import ImportBatch
from progress_service.importer import MAX_ERRORS, Import, Importer, Rejection
from progress_service.publisher import Publisher
from progress_service.servicers import codec
from progress_service.servicers.catalog_codec import course_of, user_of
from progress_service.servicers.commands import award_of, submission_of
from progress_service.store import status
from progress_service.store.database import Database
from progress_service.store.outcomes import Command
from shared.errors import LaurelError, Unavailable, invalid_field
from shared.gen.laurel.progress.v1 import admin_pb2 as pb
from shared.gen.laurel.progress.v1 import admin_pb2_grpc
from shared.version import VERSION

Context = aio.ServicerContext[Any, Any]

MAX_ITEMS = 1_000


@dataclass
class ProgressAdminServicer(admin_pb2_grpc.ProgressAdminServiceServicer):
    """Decodes, calls one thing, encodes."""

    database: Database
    importer: Importer
    publisher: Publisher
    start_time: datetime

    async def ImportProgress(
        self, requests: AsyncIterator[pb.ImportProgressRequest], context: Context
    ) -> None:
        first = await anext(requests, None)
        if first is None:
            return

        async def answer(running: Import, rejections: Sequence[Rejection]) -> None:
            await context.write(_response(running, rejections))

        async with self.importer.open(dry_run=first.dry_run) as running:
            await running.run(self._batches(first, requests), answer)

    async def _batches(
        self, first: pb.ImportProgressRequest, rest: AsyncIterator[pb.ImportProgressRequest]
    ) -> AsyncIterator[ImportBatch]:
        yield _batch_of(first)
        async for request in rest:
            if self.publisher.draining.is_set():
                raise Unavailable("DRAINING", "This server is shutting down; run it again.")
            yield _batch_of(request)

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
        )


def _batch_of(request: pb.ImportProgressRequest) -> ImportBatch:
    items = (request.users, request.courses, request.attempts, request.awards, request.active_days)
    if sum(len(each) for each in items) > MAX_ITEMS:
        raise invalid_field("attempts", f"a message holds at most {MAX_ITEMS} items in all")
    profiles = [user_of(one) for one in request.users]
    for n, profile in enumerate(profiles):
        user.check(profile, f"users[{n}]")
    commands = [_decoded(one) for one in request.attempts]
    commands += [_decoded_award(one) for one in request.awards]
    return ImportBatch(
        users=profiles,
        courses=[course_of(one) for one in request.courses],
        commands=commands,
        request_ids=[
            *(one.attempt.request_id for one in request.attempts),
            *(one.request_id for one in request.awards),
        ],
        active_days=[
            (
                codec.required_id(one.user_id, f"active_days[{n}].user_id"),
                codec.civil_date(one.date, f"active_days[{n}].date"),
            )
            for n, one in enumerate(request.active_days)
        ],
    )


def _decoded(item: pb.ImportedAttempt) -> Command | LaurelError:
    try:
        return submission_of(item.attempt, without_xp=item.without_xp)
    except LaurelError as error:
        return error


def _decoded_award(item: Any) -> Command | LaurelError:
    try:
        return award_of(item)
    except LaurelError as error:
        return error


def _response(running: Import, rejections: Sequence[Rejection]) -> pb.ImportProgressResponse:
    counts = running.counts
    return pb.ImportProgressResponse(
        received=counts.received,
        recorded=counts.recorded,
        replayed=counts.replayed,
        rejected=counts.rejected,
        xp_credited=counts.xp_credited,
        errors=[
            pb.ImportError(
                index=one.index,
                request_id=one.request_id[:200],
                reason=one.error.reason,
                message=one.error.message,
            )
            for one in rejections[:MAX_ERRORS]
        ],
    )
