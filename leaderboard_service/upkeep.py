"""What the boards in Redis need besides changes: time passes, pointers move, keys are left."""

import asyncio
import time
from collections.abc import Callable
from operator import attrgetter

import structlog

from leaderboard_service.breaker import RedisBreaker
from leaderboard_service.domain.board import Floors
from leaderboard_service.rebuild import Rebuilder, Run
from leaderboard_service.store.boards import BoardWriter
from leaderboard_service.store.client import RedisUnavailable
from leaderboard_service.store.generations import Generations
from leaderboard_service.store.keys import Generation
from shared.trouble import Trouble

log = structlog.get_logger(__name__)

_POINTER_S = 0.5
_FLOORS_S = 60.0
_SWEEP_S = 600.0


class Upkeep:
    """Looks up which generation is read, twice a second, since another process may swap; drops
    boards of periods that are over and no longer kept; and deletes keys of dead generations.
    """

    def __init__(
        self,
        writer: BoardWriter,
        generations: Generations,
        breaker: RedisBreaker,
        rebuilder: Rebuilder,
        *,
        wanted_floors: Callable[[], Floors],
    ) -> None:
        self._writer = writer
        self._generations = generations
        self._breaker = breaker
        self._rebuilder = rebuilder
        self._parts_settled = False
        self._repartition: Run | None = None
        self._wanted_floors = wanted_floors
        self._pruned: tuple[Generation, Floors] | None = None
        self._orphans: set[Generation] = set()
        self._trouble = Trouble(log)

    async def run(self) -> None:
        """Does all three in their turns, for ever."""
        floors_at = sweep_at = 0.0
        while True:
            await self._breaker.wait_closed()
            try:
                await self._generations.refresh()
                self._check_parts()
                now = time.monotonic()
                if now >= floors_at and self._generations.current:
                    await self.raise_floors()
                    floors_at = now + _FLOORS_S
                if now >= sweep_at:
                    await self.sweep()
                    sweep_at = now + _SWEEP_S
            except RedisUnavailable as error:
                self._breaker.trip(error)
            except Exception as error:  # noqa: BLE001 - logged, and tried again
                self._trouble.failed("upkeep failed", error)
            else:
                self._trouble.over("upkeep works again")
            await asyncio.sleep(_POINTER_S)

    def _check_parts(self) -> None:
        """Has the boards rebuilt if they have another number of parts than the setting says, once:
        processes with different settings would go on for ever.
        """
        generation = self._generations.current
        if generation is None or self._parts_settled:
            return
        run = self._repartition
        if len(generation.parts) == self._rebuilder.parts or (run is not None and run.succeeded):
            self._parts_settled = True
        elif run is None or run.done.done():
            self._repartition = self._rebuilder.request("the number of parts was changed")

    async def raise_floors(self) -> None:
        """Drops boards of periods that are no longer to be kept, and what hidden users had there;
        the latter once for each generation and floors, which ends what another process began.
        """
        generation, wanted = self._generations.current, self._wanted_floors()
        if generation is None:
            return
        dropped = await self._writer.raise_floors(generation, wanted)
        if dropped:
            log.info("old periods dropped", boards=dropped)
        if self._pruned != (generation, wanted):
            scores = await self._writer.prune_hidden(generation)
            self._pruned = (generation, wanted)
            if scores:
                log.info("old scores of hidden users deleted", scores=scores)

    async def sweep(self) -> None:
        """Deletes generations that were nobody's at the last sweep already."""
        orphans = await self._generations.orphans()
        for generation in sorted(orphans & self._orphans, key=attrgetter("id")):
            dropped = await self._generations.drop(generation)
            log.info("dead generation deleted", generation=generation.id, keys=dropped)
        self._orphans = orphans
