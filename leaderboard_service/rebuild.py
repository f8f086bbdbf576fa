"""Builds all boards anew from a snapshot, beside those that are read, and swaps."""

import asyncio
import random
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from operator import attrgetter

import structlog
from grpc import aio

from leaderboard_service import metrics
from leaderboard_service.applier import Applier, Target
from leaderboard_service.domain.answer import Position
from leaderboard_service.domain.board import Floors, board_name
from leaderboard_service.domain.fold import Profile
from leaderboard_service.history import check_lost
from leaderboard_service.pace import go_on, rest
from leaderboard_service.status import Status
from leaderboard_service.store.boards import Meta, PartMeta
from leaderboard_service.store.client import RedisLink, RedisUnavailable
from leaderboard_service.store.keys import Generation, new_generation
from leaderboard_service.store.loader import GenerationLoader
from leaderboard_service.streams import next_message
from shared.gen.laurel.progress.v1 import progress_pb2 as pb
from shared.gen.laurel.progress.v1.progress_pb2_grpc import (
    ProgressServiceStub,
    StandingsServiceStub,
)
from shared.gen.laurel.types.v1 import types_pb2
from shared.periods import Window
from shared.trouble import Trouble

log = structlog.get_logger(__name__)

# A builder that is killed keeps the others waiting for so long.
_LOCK_S = 10.0
_SILENCE_S = 30.0
_CATCH_UP_S = 600.0
# How long clearing up after a failure may take, and when the process is to end.
_LEAVE_S = 30.0
_STOP_S = 0.5


class SnapshotCut(Exception):
    """The snapshot ended without saying that it was complete."""


@dataclass(eq=False)
class Run:
    """One rebuild, as it goes."""

    reason: str
    standings_total: int = 0
    """As many as the boards that are read hold; what is loaded may be more."""
    standings_loaded: int = 0
    position: Position = field(default_factory=lambda: Position("", 0))
    done: "asyncio.Future[None]" = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )

    @property
    def succeeded(self) -> bool:
        """Whether it is over, and there are new boards."""
        done = self.done
        return done.done() and not done.cancelled() and done.exception() is None


def _seen(done: "asyncio.Future[None]") -> None:
    if not done.cancelled():
        done.exception()


@dataclass(frozen=True)
class Sources:
    """Where a rebuild reads from."""

    standings: StandingsServiceStub
    history: ProgressServiceStub


class Rebuilder:
    """Rebuilds on request, one at a time in this process; `run` does the work.

    Other processes are kept from building at once by a lock that lapses. Who has lost it gives up,
    since whoever builds next deletes what is neither read nor theirs.
    """

    def __init__(
        self,
        sources: Sources,
        link: RedisLink,
        target: Target,
        status: Status,
        *,
        wanted_floors: Callable[[], Floors],
        parts: int = 1,
    ) -> None:
        self._sources = sources
        self._link = link
        self._target = target
        self._generations = target.generations
        self._writer = target.writer
        self._status = status
        self._wanted_floors = wanted_floors
        self.parts = parts
        """Into how many it splits the boards."""
        self._current: Run | None = None
        self._requested = asyncio.Event()
        self._trouble = Trouble(log)

    def request(self, reason: str) -> Run:
        """The rebuild that is under way, or a new one."""
        if self._current is None:
            self._current = Run(reason)
            # Whether anyone waits for the outcome or not: it is logged here.
            self._current.done.add_done_callback(_seen)
            self._requested.set()
        return self._current

    async def rebuild(self, reason: str) -> None:
        """Returns when there are new boards; raises what kept them from being built."""
        await asyncio.shield(self.request(reason).done)

    async def run(self) -> None:
        """Does what is requested, for ever."""
        while True:
            await self._requested.wait()
            self._requested.clear()
            run = self._current
            if run is None:
                continue
            self._status.rebuilding = True
            try:
                await self._rebuild(run)
            except Exception as error:  # noqa: BLE001 - told to whoever waits for it
                metrics.REBUILDS.labels("failed").inc()
                self._trouble.met("rebuild failed", error=_text(error))
                run.done.set_exception(error)
            else:
                metrics.REBUILDS.labels("done").inc()
                self._trouble.over("rebuild works again")
                run.done.set_result(None)
            finally:
                self._current = None
                self._status.rebuilding = False
                if not run.done.done():
                    run.done.cancel()

    async def _rebuild(self, run: Run) -> None:
        generation = new_generation(self.parts)
        old = await self._generations.refresh()
        while not await self._generations.lock(generation, _LOCK_S):
            # Another process builds: its boards will do, unless it gives up or dies.
            await asyncio.sleep(random.uniform(0.2, 0.5))
            current = await self._generations.refresh()
            if current is not None and current != old:
                return
        if not self._trouble.present:
            log.info("rebuild begins", reason=run.reason, generation=generation.id)
        built = False
        started = time.monotonic()
        try:
            others = await self._generations.all()
            run.standings_total = await self._standings(old)
            meta = await self._load(run, generation, gently=old is not None)
            await self._catch_up(run, generation, meta)
            await self._generations.renew(generation, _LOCK_S)
            await self._generations.publish(generation)
            built = True
        finally:
            await self._leave(generation, built=built)
        self._status.last_rebuild_us = time.time_ns() // 1000
        log.info(
            "rebuild done",
            standings=run.standings_loaded,
            position=run.position.sequence,
            seconds=round(time.monotonic() - started, 3),
        )
        for other in sorted(others, key=attrgetter("id")):
            await self._generations.drop(other)

    async def _leave(self, generation: Generation, *, built: bool) -> None:
        """Gives the lock back and deletes what was not finished, as far as Redis lets it in time:
        the lock lapses, and upkeep deletes dead generations. Raises nothing of its own.
        """
        task = asyncio.current_task()
        stopping = task is not None and task.cancelling()
        with suppress(RedisUnavailable, TimeoutError):
            async with asyncio.timeout(_STOP_S if stopping else _LEAVE_S):
                await self._generations.unlock(generation)
                if not built:
                    await self._generations.drop(generation)

    async def _standings(self, old: Generation | None) -> int:
        return sum((await self._writer.board_counts(old)).values()) if old else 0

    async def _load(self, run: Run, generation: Generation, *, gently: bool) -> Meta:
        """Loads the snapshot; the new generation's meta, written. `gently`: there are boards that
        others read meanwhile.
        """
        floors = self._wanted_floors()
        begun_us = time.time_ns() // 1000
        loader = GenerationLoader(self._link, generation, rest if gently else go_on)
        call = self._sources.standings.SnapshotStandings(
            pb.SnapshotStandingsRequest(floors=floor_messages(floors))
        )
        try:
            while True:
                message = await next_message(call, _SILENCE_S)
                if message is None:
                    raise SnapshotCut("the snapshot ended before it was complete")
                await self._generations.renew(generation, _LOCK_S)
                await _load_message(loader, message, run)
                if message.complete:
                    break
        finally:
            call.cancel()
        numbered_us = message.as_of_time.ToMicroseconds()
        return await loader.finish(PartMeta(run.position, numbered_us, begun_us, floors))

    async def _catch_up(self, run: Run, generation: Generation, meta: Meta) -> None:
        """Brings the new boards to where those are that are read, so that no answer goes back.

        Raises HistoryLost, and HistoryPruned when loading took longer than history is kept.
        """
        target = await self._sequence()
        if target <= meta.position.sequence:
            return
        applier = Applier(self._target, generation, meta, read=False)
        after = types_pb2.Position(epoch=meta.position.epoch, sequence=meta.position.sequence)
        call = self._sources.history.WatchXpDeltas(pb.WatchXpDeltasRequest(after=after))
        try:
            give_up = time.monotonic() + _CATCH_UP_S
            while applier.meta.position.sequence < target and time.monotonic() < give_up:
                try:
                    message = await next_message(call, _SILENCE_S)
                except aio.AioRpcError as error:
                    check_lost(error)
                    raise
                if message is None or message.head_sequence < target:
                    # The old boards are ahead of this history: they are not to be matched.
                    return
                await self._generations.renew(generation, _LOCK_S)
                await applier.take(message)
                run.position = applier.meta.position
                target = await self._sequence()
        finally:
            call.cancel()

    async def _sequence(self) -> int:
        """Where the boards that are read are now; 0 when there are none."""
        current = await self._generations.refresh()
        meta = await self._writer.meta(current) if current else None
        return meta.position.sequence if meta else 0


def _text(error: Exception) -> str:
    if isinstance(error, aio.AioRpcError):
        return f"progress service: {error.code().name}"
    return f"{type(error).__name__}: {error}"


def floor_messages(floors: Floors) -> list[pb.PeriodFloor]:
    """The floors as the contract writes them."""
    return [
        pb.PeriodFloor(window=types_pb2.Window.ValueType(window), first_period=floors.of(window))
        for window in Window
        if window is not Window.ALL_TIME
    ]


async def _load_message(
    loader: GenerationLoader, message: pb.SnapshotStandingsResponse, run: Run
) -> None:
    """Loads what the message holds; one that holds nothing says that more will come."""
    if message.HasField("position"):
        run.position = Position(message.position.epoch, message.position.sequence)
    if message.profiles:
        await loader.add_profiles(
            [
                (item.user_id, Profile(item.display_name, item.avatar_url, item.hidden))
                for item in message.profiles
            ]
        )
    if message.standings:
        board = message.board
        name = board_name(board.metric, board.course_id, Window(board.window), board.period)
        await loader.add_scores(name, [(item.user_id, item.score) for item in message.standings])
        run.standings_loaded += len(message.standings)
        run.standings_total = max(run.standings_total, run.standings_loaded)
