"""Verifies bit by bit, all the time: a few users at a time, each few in a short snapshot of
their own, so that a figure that goes wrong is noticed, and nothing is held up for it.
"""

import asyncio
import random
import time
from dataclasses import dataclass

import structlog

from progress_service import metrics
from progress_service.store import audit, user_ranges
from progress_service.store.database import Database, Purpose
from progress_service.store.mismatches import Mismatch
from progress_service.store.positions import Position, read_head
from progress_service.store.user_ranges import UserRange
from shared.errors import Unavailable

log = structlog.get_logger(__name__)

_MOST_USERS = 50
_MOST_LOGGED = 20
"""Of one range; the others are counted."""
_FIRST_FAILURE_PAUSE_S = 1.0
_MAX_FAILURE_PAUSE_S = 300.0


@dataclass
class Verifier:
    """`run` in the background, in each replica; uses one connection, and only while it looks.

    `users_per_s` 0: it does not run. It begins `first_pause_s` after the start of the process,
    and does not begin with the first user again before `least_lap_s` are over.
    """

    database: Database
    users_per_s: float
    first_pause_s: float = 30.0
    least_lap_s: float = 60.0
    _looking_at: UserRange | None = None

    async def run(self) -> None:
        """Verifies until cancelled. A range that fails is tried again, after growing pauses and
        with fewer users; a user who fails alone is passed over.
        """
        if not self.users_per_s:
            return
        await asyncio.sleep(self.first_pause_s * random.uniform(0.5, 1.0))
        failures = 0
        after, lap_began_at = "", time.monotonic()
        while True:
            limit = max(_MOST_USERS >> failures, 1)
            self._looking_at = None
            try:
                users = await self._verify(after, limit)
            except Exception as error:  # noqa: BLE001 - the top of a loop that backs off
                after = self._failed(error, after, limit)
                await asyncio.sleep(_pause_s(failures))
                failures += 1
                continue
            failures = 0
            await asyncio.sleep(users.users / self.users_per_s)
            after = users.through
            if users.is_last:
                await asyncio.sleep(lap_began_at + self.least_lap_s - time.monotonic())
                after, lap_began_at = "", time.monotonic()

    def _failed(self, error: Exception, after: str, limit: int) -> str:
        """Where to go on from."""
        metrics.VERIFIER_FAILURES.inc()
        if isinstance(error, Unavailable):
            log.warning("verifier waits for the database", reason=error.reason)
            return after
        log.error("verifier failed", exc_info=error, after_user_id=after, users=limit)
        if limit == 1 and self._looking_at is not None:
            return self._looking_at.through
        return after

    async def _verify(self, after: str, limit: int) -> UserRange:
        found: list[Mismatch] = []
        count = 0

        def each(mismatch: Mismatch) -> None:
            nonlocal count
            count += 1
            metrics.MISMATCHES.labels(mismatch.kind.name.lower()).inc()
            if count <= _MOST_LOGGED:
                found.append(mismatch)

        async with self.database.read(Purpose.AUDIT) as connection:
            await audit.prepare(connection, unhurried=True)
            position = (await read_head(connection)).position
            self._looking_at = users = await user_ranges.next_range(connection, after, limit)
            await audit.compare(connection, users, each)
        metrics.VERIFIED_USERS.inc(users.users)
        for mismatch in found:
            _log(mismatch, position)
        if count > len(found):
            log.error("more figures differ", count=count - len(found))
        return users


def _pause_s(failures: int) -> float:
    longest = min(_FIRST_FAILURE_PAUSE_S * 2.0 ** min(failures, 30), _MAX_FAILURE_PAUSE_S)
    return longest * random.uniform(0.5, 1.0)


def _log(mismatch: Mismatch, position: Position) -> None:
    board = mismatch.board
    log.error(
        "figure differs",
        kind=mismatch.kind.name.lower(),
        user_id=mismatch.user_id,
        board=board.name if board else "",
        course_id=mismatch.course_id,
        level_id=mismatch.level_id,
        figure=mismatch.figure,
        expected=mismatch.expected,
        found=mismatch.found,
        epoch=position.epoch,
        sequence=position.sequence,
    )
