"""What the service is doing, as its workers tell it."""

from dataclasses import dataclass
from enum import IntEnum


class State(IntEnum):
    """The contract's states, with its numbers."""

    LIVE = 1
    CATCHING_UP = 2
    REBUILDING = 3
    REDIS_DOWN = 4
    PROGRESS_DOWN = 5


@dataclass
class Status:
    """Written by the follower and the rebuilder, read by GetStatus and by health."""

    connected: bool = False
    """Whether the stream of changes is open."""
    applied_sequence: int = 0
    head_sequence: int = 0
    lag_us: int | None = None
    """From the numbering of the newest applied change to its being on the boards."""
    rebuilding: bool = False
    last_rebuild_us: int = 0

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
