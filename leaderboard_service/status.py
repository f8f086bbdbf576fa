"""What the service is doing, as its workers tell it."""

import asyncio
from dataclasses import dataclass, field
from enum import IntEnum

from leaderboard_service.domain.epochs import Epochs


class State(IntEnum):
    """The contract's states, with its numbers."""

    LIVE = 1
    CATCHING_UP = 2
    REBUILDING = 3
    REDIS_DOWN = 4
    PROGRESS_DOWN = 5


@dataclass
class Status:
    """Written by the follower, the rebuilder and verifications, read by GetStatus, by health, and
    where boards are read.
    """

    epochs: Epochs = field(default_factory=Epochs)
    """Pages may go on across them."""
    connected: bool = False
    """Whether the stream of changes is open."""
    applied_sequence: int = 0
    head_sequence: int = 0
    lag_us: int | None = None
    """From the numbering of the newest applied change to its being on the boards."""
    rebuilding: bool = False
    last_rebuild_us: int = 0
    last_verify_us: int = 0
    last_verify_mismatches: int = 0
    standings_verified: int = 0
    mismatches_found: int = 0
    standings_repaired: int = 0
    _applied: asyncio.Event = field(default_factory=asyncio.Event, repr=False)

    def note_applied(self, sequence: int) -> None:
        """The boards in Redis are at this position, as last heard."""
        if sequence != self.applied_sequence:
            self.applied_sequence = sequence
            self._applied.set()
            self._applied = asyncio.Event()

    async def wait_applied(self, sequence: int, within_s: float) -> None:
        """Returns when the boards in Redis are there, or when the time is over."""
        try:
            async with asyncio.timeout(within_s):
                while self.applied_sequence < sequence:
                    await self._applied.wait()
        except TimeoutError:
            return

    def state(self, *, redis_answers: bool, boards: bool) -> State:
        """The one word for it; `boards`: there is a generation to read."""
        if not redis_answers:
            return State.REDIS_DOWN
        if self.rebuilding:
            return State.REBUILDING
        if not self.connected:
            return State.PROGRESS_DOWN
        if not boards or self.applied_sequence < self.head_sequence:
            return State.CATCHING_UP
        return State.LIVE
