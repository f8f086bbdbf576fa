"""Builds the service from its settings and runs it. The only place that opens anything."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial

from grpc import aio

from leaderboard_service.administration import Administration, Parts
from leaderboard_service.applier import Target
from leaderboard_service.boards import Boards
from leaderboard_service.breaker import RedisBreaker
from leaderboard_service.civil_clock import CivilClock
from leaderboard_service.consistency import Consistency
from leaderboard_service.domain.board import Floors
from leaderboard_service.fallback import Fallback
from leaderboard_service.follower import Follower
from leaderboard_service.health import HealthWatch
from leaderboard_service.reader import CONNECTIONS, BoardReader
from leaderboard_service.rebuild import Rebuilder, Sources
from leaderboard_service.servicers.admin import LeaderboardAdminServicer
from leaderboard_service.servicers.encode import Encoder
from leaderboard_service.servicers.leaderboard import LeaderboardServicer
from leaderboard_service.settings import LeaderboardSettings
from leaderboard_service.snapshots import Snapshots
from leaderboard_service.status import Status
from leaderboard_service.store.boards import BoardWriter
from leaderboard_service.store.checks import BoardChecks
from leaderboard_service.store.client import RedisLink
from leaderboard_service.store.generations import Generations
from leaderboard_service.store.reads import BoardReads
from leaderboard_service.upkeep import Upkeep
from leaderboard_service.verification import Sides, Verification
from leaderboard_service.verifier import Verifier
from leaderboard_service.watching.board import Means
from leaderboard_service.watching.schedule import Rhythm
from leaderboard_service.watching.turns import Turns
from leaderboard_service.watching.watches import Watches
from shared.auth.call_token import CallToken
from shared.channels import open_channel
from shared.gen.laurel.leaderboard.v1 import (
    admin_pb2,
    admin_pb2_grpc,
    leaderboard_pb2,
    leaderboard_pb2_grpc,
)
from shared.gen.laurel.progress.v1.progress_pb2_grpc import (
    ProgressServiceStub,
    StandingsServiceStub,
)
from shared.identity import Role
from shared.renewed_channel import Credentials
from shared.server import RpcServer, Service
from shared.tls import channel_credentials

_WORK_CONNECTIONS = 8
_VERIFY_CONNECTIONS = 2
# Watched boards that are read at once; more would leave too little of the fallback for others.
_WATCH_READS = 8


def now() -> datetime:
    """The moment, in UTC."""
    return datetime.now(UTC)


class LeaderboardApp:
    """Everything of one process. `run` serves until `stop` is set, then drains.

    Must be made inside a running event loop.
    """

    def __init__(
        self,
        settings: LeaderboardSettings,
        now: Callable[[], datetime] = now,
        rhythm: Rhythm | None = None,
    ) -> None:
        self._settings = settings
        self._clock = CivilClock(now, settings.zone)
        self.server = RpcServer(settings, settings.leaderboard_port)
        timeout_s = settings.redis_timeout_s
        # Reads, the follower, and all else have connections of their own.
        self._read_link = RedisLink(
            settings.redis_url, connections=CONNECTIONS, timeout_s=timeout_s, use="reads"
        )
        self._follow_link = RedisLink(
            settings.redis_url, connections=1, timeout_s=max(timeout_s, 5.0), use="follower"
        )
        self._work_link = RedisLink(
            settings.redis_url,
            connections=_WORK_CONNECTIONS,
            timeout_s=max(timeout_s, 2.0),
            use="work",
        )
        self._verify_link = RedisLink(
            settings.redis_url,
            connections=_VERIFY_CONNECTIONS,
            timeout_s=max(timeout_s, 2.0),
            use="verification",
        )
        credentials = channel_credentials(settings)
        self._calls = _to_progress(settings, credentials)
        self._streams = _to_progress(settings, credentials, own_connection=True)
        self._verify_streams = _to_progress(settings, credentials, own_connection=True)
        self._breaker = RedisBreaker(self._work_link)
        self._generations = Generations(self._work_link)
        self._status = Status()
        self._reader = BoardReader(
            BoardReads(self._read_link), self._generations, self._breaker, patience_s=timeout_s
        )
        self._boards = Boards(
            self._reader,
            Fallback(
                StandingsServiceStub(self._calls),
                settings.signer,
                limit=settings.fallback_limit,
                timeout_s=settings.fallback_timeout_s,
            ),
            self._generations,
            self._breaker,
            self._status.epochs,
        )
        self.watches = self._build_watches(rhythm or Rhythm())
        self._build_workers()
        self._build_verification()
        self._add_services()

    def _build_watches(self, rhythm: Rhythm) -> Watches:
        means = Means(
            boards=self._boards,
            encoder=Encoder(self._settings.zone, self._settings.signer),
            clock=self._clock,
            turns=Turns(rhythm.message_s),
            reads=asyncio.Semaphore(_WATCH_READS),
            rhythm=rhythm,
        )
        watches = Watches(means, self.server.draining, limit=self._settings.max_watches)
        self._breaker.when_opened(partial(watches.touch, None))
        return watches

    def _build_workers(self) -> None:
        settings = self._settings

        def floors() -> Floors:
            return Floors.on(self._clock.today(), settings.kept)

        history = ProgressServiceStub(self._streams)
        self._rebuilder = Rebuilder(
            Sources(StandingsServiceStub(self._streams), history),
            self._work_link,
            Target(BoardWriter(self._work_link), self._generations, settings.apply_scores),
            self._status,
            wanted_floors=floors,
            parts=settings.partitions,
        )
        self._follower = Follower(
            history,
            Target(
                BoardWriter(self._follow_link),
                self._generations,
                settings.apply_scores,
                self.watches.touch,
            ),
            self._rebuilder,
            self._breaker,
            self._status,
        )
        self._upkeep = Upkeep(
            BoardWriter(self._work_link),
            self._generations,
            self._breaker,
            self._rebuilder,
            wanted_floors=floors,
        )
        self._health = HealthWatch(self.server, self._generations, self._breaker, self._calls)

    def _build_verification(self) -> None:
        streams = self._verify_streams
        self._verification = Verification(
            Sides(
                Snapshots(StandingsServiceStub(streams)),
                ProgressServiceStub(streams),
                BoardChecks(self._verify_link),
                BoardWriter(self._verify_link),
                self.watches.touch,
            ),
            self._status,
        )
        self._verifier = Verifier(
            self._verification,
            self._generations,
            self._breaker,
            standings_per_s=self._settings.verify_standings_per_second,
        )

    def _build_consistency(self) -> Consistency:
        return Consistency(
            StandingsServiceStub(self._calls),
            self._settings.signer,
            self._status,
            boards_in_redis=lambda: self._breaker.closed and self._generations.current is not None,
        )

    def _add_services(self) -> None:
        administration = Administration(
            Parts(
                boards=self._boards,
                writer=BoardWriter(self._work_link),
                link=self._work_link,
                generations=self._generations,
                breaker=self._breaker,
                rebuilder=self._rebuilder,
                verification=self._verification,
                status=self._status,
                draining=self.server.draining,
            )
        )
        self.server.add(
            Service(
                leaderboard_pb2.DESCRIPTOR.services_by_name["LeaderboardService"],
                leaderboard_pb2_grpc.add_LeaderboardServiceServicer_to_server,
                LeaderboardServicer(
                    self._boards,
                    self._build_consistency(),
                    self.watches,
                    self._clock,
                    self._settings.signer,
                ),
            )
        )
        self.server.add(
            Service(
                admin_pb2.DESCRIPTOR.services_by_name["LeaderboardAdminService"],
                admin_pb2_grpc.add_LeaderboardAdminServiceServicer_to_server,
                LeaderboardAdminServicer(administration, self._clock),
            )
        )

    async def run(self, stop: asyncio.Event) -> None:
        """Serves until `stop`; a worker that fails for a reason of our own ends the process."""
        try:
            async with asyncio.TaskGroup() as group:
                workers = [
                    group.create_task(worker.run())
                    for worker in (
                        self._reader,
                        self._breaker,
                        self._rebuilder,
                        self._follower,
                        self._upkeep,
                        self.watches,
                        self._verifier,
                    )
                ]
                await self.server.start()
                workers.append(group.create_task(self._health.run()))
                await stop.wait()
                await self.server.drain(self._settings.drain_seconds)
                for worker in workers:
                    worker.cancel()
        finally:
            await self._close()

    async def _close(self) -> None:
        # Also after a failure: a server that still runs would reach for a loop that is gone.
        await self.server.drain(0)
        for channel in (self._calls, self._streams, self._verify_streams):
            await channel.close()
        links = (self._read_link, self._follow_link, self._work_link, self._verify_link)
        await asyncio.gather(*(link.close() for link in links))


def _to_progress(
    settings: LeaderboardSettings, credentials: Credentials | None, *, own_connection: bool = False
) -> aio.Channel:
    return open_channel(
        settings.progress_target,
        own_connection=own_connection,
        token=CallToken(settings, "leaderboard-service", Role.SERVICE),
        credentials=credentials,
    )
