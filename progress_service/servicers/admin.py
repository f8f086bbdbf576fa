"""ProgressAdminService: imports and status."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from grpc import aio

from progress_service.import_writers import ImportBatch
from progress_service.importer import Import, Importer, Rejection
from progress_service.publisher import Publisher
from progress_service.servicers import codec
from progress_service.servicers.import_codec import batch_of, import_response
from progress_service.store import status
from progress_service.store.database import Database
from shared.errors import Unavailable
from shared.gen.laurel.progress.v1 import admin_pb2 as pb
from shared.gen.laurel.progress.v1 import admin_pb2_grpc
from shared.version import VERSION

Context = aio.ServicerContext[Any, Any]


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
            await context.write(import_response(running, rejections))

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
