"""Puts ProgressService together: the one place that knows which part needs which."""

import asyncio
import sys
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial

from progress_service.backfill import Backfill
from progress_service.committer import GroupCommitter
from progress_service.course_worker import CourseWorker
from progress_service.credit_log import CreditLog
from progress_service.domain.streak import civil_day
from progress_service.exporter import Exporter
from progress_service.health import DatabaseHealth, migrate
from progress_service.history_pruner import HistoryPruner
from progress_service.importer import Importer
from progress_service.numbered_writer import NumberedWriter
from progress_service.publisher import Publisher
from progress_service.recalculator import Recalculator
from progress_service.reviewer import Reviewer
from progress_service.sequencer import Sequencer
from progress_service.servicers.admin import ProgressAdminServicer
from progress_service.servicers.catalog import CatalogServicer
from progress_service.servicers.newcomers import Newcomers
from progress_service.servicers.own_calls import OwnCalls
from progress_service.servicers.progress import ProgressServicer
from progress_service.servicers.standings import StandingsServicer
from progress_service.settings import ProgressSettings
from progress_service.store.course_edits import CourseEdits
from progress_service.store.courses import CourseCache
from progress_service.store.database import Database, Purpose
from progress_service.store.driver import DatabaseRefused
from progress_service.store.dry_run import MAX_FACTS, DryRun
from progress_service.store.group_writer import GroupWriter
from progress_service.store.history_pruning import Kept
from progress_service.store.recorder import Recorder
from progress_service.store.users import Profiles
from progress_service.token_resolver import TokenResolver
from progress_service.verification import Verification
from progress_service.verifier import Verifier
from shared.gen.laurel.progress.v1 import (
    admin_pb2,
    admin_pb2_grpc,
    catalog_pb2,
    catalog_pb2_grpc,
    progress_pb2,
    progress_pb2_grpc,
)
from shared.server import RpcServer, Service
from shared.signed_token import Signer


def now() -> datetime:
    """The service's clock."""
    return datetime.now(UTC)


@dataclass
class ProgressApp:
    """The parts; `serve` until told to stop, `ready` is set once calls are answered."""

    settings: ProgressSettings
    now: Callable[[], datetime]
    database: Database
    server: RpcServer
    signer: Signer
    courses: CourseCache
    profiles: Profiles
    credit_log: CreditLog
    committer: GroupCommitter
    importer: Importer
    sequencer: Sequencer
    publisher: Publisher
    verifier: Verifier
    course_worker: CourseWorker
    history_pruner: HistoryPruner
    ready: asyncio.Event = field(default_factory=asyncio.Event)

    async def serve(self, stopped: asyncio.Event) -> None:
        """Answers calls until `stopped`, drains, and closes everything.

        Listens at once and is NOT_SERVING until the database answers and its schema is the
        newest, and again whenever it does not answer. One line on stderr and exit status 2 when
        the database refuses this service: nothing but other settings mends that.
        """
        try:
            await self._serve(stopped)
        except BaseExceptionGroup as group:
            refused = group.subgroup(DatabaseRefused)
            if refused is None:
                raise
            await self.server.drain(0)
            sys.stderr.write(f"laurel: bad setting LAUREL_POSTGRES_URL: {_first(refused)}\n")
            raise SystemExit(2) from None

    async def _serve(self, stopped: asyncio.Event) -> None:
        async with AsyncExitStack() as stack:
            stack.push_async_callback(self.database.close)
            self.server.take_calls(take=False)
            await self.server.start()
            async with asyncio.TaskGroup() as tasks:
                background = tasks.create_task(self._work())
                await stopped.wait()
                await self.server.drain(self.settings.drain_seconds)
                background.cancel()

    async def _work(self) -> None:
        await migrate(self.database)
        self.server.take_calls(take=True)
        async with asyncio.TaskGroup() as tasks:
            for part in (
                self.committer,
                self.sequencer,
                self.publisher,
                self.verifier,
                self.course_worker,
                self.history_pruner,
            ):
                tasks.create_task(part.run())
            tasks.create_task(DatabaseHealth(self.database, self.server, self.ready).run())


def _first(group: BaseExceptionGroup[DatabaseRefused]) -> BaseException:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def build(
    settings: ProgressSettings, port: int | None = None, now: Callable[[], datetime] = now
) -> ProgressApp:
    """Every part, connected; nothing is opened yet. `port` 0: any free one."""
    app = _parts(settings, port, now)
    for service in (_progress(app), _standings(app), _catalog(app), _admin(app)):
        app.server.add(service)
    return app


def _parts(
    settings: ProgressSettings, port: int | None, now: Callable[[], datetime]
) -> ProgressApp:
    server = RpcServer(settings, settings.progress_port if port is None else port)
    database = Database(settings)
    zone = settings.zone
    publisher = Publisher(database, settings.checkpoint_seconds, server.draining)
    sequencer = Sequencer(
        database, settings.sequencer_batch, settings.sequencer_lease_seconds, publisher.wake
    )
    courses = CourseCache()
    recorder = Recorder(zone, now, courses, settings.plausibility)
    importing = Recorder(zone, now, courses)
    profiles = Profiles(zone, now)
    credit_log = CreditLog(settings)
    dry_run = partial(DryRun, zone, now, MAX_FACTS)
    return ProgressApp(
        settings=settings,
        now=now,
        database=database,
        server=server,
        signer=settings.signer,
        courses=courses,
        profiles=profiles,
        credit_log=credit_log,
        committer=GroupCommitter(
            GroupWriter(database, recorder.record, Purpose.GROUP),
            credit_log,
            sequencer.wake,
            settings.group_size,
            settings.group_writers,
            settings.queue_size,
        ),
        importer=Importer(database, importing, dry_run, profiles, credit_log, sequencer.wake),
        sequencer=sequencer,
        publisher=publisher,
        verifier=Verifier(database, settings.verify_users_per_second),
        course_worker=CourseWorker(database, courses),
        history_pruner=HistoryPruner(
            database, Kept(settings.history_keep, settings.history_keep_changes)
        ),
    )


def _progress(app: ProgressApp) -> Service:
    return Service(
        progress_pb2.DESCRIPTOR.services_by_name["ProgressService"],
        progress_pb2_grpc.add_ProgressServiceServicer_to_server,
        ProgressServicer(
            app.database,
            app.courses,
            app.committer,
            app.publisher,
            app.signer,
            app.settings.zone,
            app.now,
            OwnCalls(app.settings.self_graded == "accept", app.settings.max_late, app.now),
            _newcomers(app),
        ),
    )


def _newcomers(app: ProgressApp) -> Newcomers:
    return Newcomers(app.database, app.profiles, app.sequencer.wake, app.settings.create_users)


def _standings(app: ProgressApp) -> Service:
    return Service(
        progress_pb2.DESCRIPTOR.services_by_name["StandingsService"],
        progress_pb2_grpc.add_StandingsServiceServicer_to_server,
        StandingsServicer(
            app.database, TokenResolver(app.publisher), app.signer, app.settings.zone, app.now
        ),
    )


def _catalog(app: ProgressApp) -> Service:
    edits = CourseEdits(app.database, app.courses, app.course_worker.wake)
    return Service(
        catalog_pb2.DESCRIPTOR.services_by_name["CatalogService"],
        catalog_pb2_grpc.add_CatalogServiceServicer_to_server,
        CatalogServicer(
            app.database, app.profiles, edits, app.signer, app.sequencer.wake, _newcomers(app)
        ),
    )


def _admin(app: ProgressApp) -> Service:
    database, publisher, wake = app.database, app.publisher, app.sequencer.wake
    zone, draining = app.settings.zone, app.server.draining
    return Service(
        admin_pb2.DESCRIPTOR.services_by_name["ProgressAdminService"],
        admin_pb2_grpc.add_ProgressAdminServiceServicer_to_server,
        ProgressAdminServicer(
            database,
            app.importer,
            publisher,
            numbered=NumberedWriter(database, publisher, wake),
            exporter=Exporter(database),
            verification=Verification(database, draining),
            backfill=Backfill(database, publisher, app.credit_log, wake, zone),
            recalculator=Recalculator(database, app.courses, draining, app.course_worker.wake),
            reviewer=Reviewer(database, zone, app.credit_log, wake),
            signer=app.signer,
            today=lambda: civil_day(app.now(), zone),
            start_time=app.now(),
        ),
    )
