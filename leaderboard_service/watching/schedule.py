"""When a watched board is read."""

import math
import random
from dataclasses import dataclass

from shared.stream_write import STALL_S

_FIRST_PAUSE_S = 0.1
_PAUSE_CAP_S = 2.0


@dataclass(frozen=True)
class Rhythm:
    """How long what takes, in seconds."""

    pace_s: float = 0.1
    """From one publication of a board to the next, at least."""
    message_s: float = 0.000125
    """From one message to the next, over all boards: with about 60 µs of work for each, sending
    takes half of the process's time at most.
    """
    poll_s: float = 2.0
    """From one read to the next while nothing tells of changes, as with PostgreSQL."""
    keep_alive_s: float = 15.0
    """After so long without a message there is a keep-alive."""
    give_up_s: float = 20.0
    """After so long without a message, when neither store answers, a watch is ended."""
    look_s: float = 5.0
    """From one look at the clock to the next, at most: it can be set."""
    stall_s: float = STALL_S
    """How long a reader may take for a message."""


class Schedule:
    """Says when to read next, from what has happened. Times are those of the event loop."""

    def __init__(self, rhythm: Rhythm) -> None:
        self._rhythm = rhythm
        self._touched = False
        self._joined = False
        self._polled = False
        self._published_at = -math.inf
        self._silent_at = math.inf
        self._failures = 0
        self._retry_at = -math.inf

    def touch(self) -> bool:
        """The board may have changed; whether that is news."""
        news, self._touched = not self._touched, True
        return news

    def join(self) -> None:
        """Someone waits for the first message."""
        self._joined = True

    def begin(self) -> None:
        """It is read now: what happens from here on is for the next time."""
        self._touched = self._joined = False

    def publish(self, at: float, *, polled: bool, silent_at: float) -> None:
        """It was read. `polled`: nothing tells of changes. `silent_at`: when the first watch will
        have been told nothing for too long.
        """
        self._published_at = at
        self._polled = polled
        self._silent_at = silent_at
        self._failures = 0

    def fail(self, at: float) -> None:
        """It could not be read: the pauses grow."""
        pause_s = min(_FIRST_PAUSE_S * 2.0 ** min(self._failures, 30), _PAUSE_CAP_S)
        self._failures += 1
        self._retry_at = at + pause_s * random.uniform(0.5, 1.0)

    def due_at(self, *, moved: bool) -> float:
        """When it is to be read; `moved`: the clock says that it is another board now."""
        if self._failures:
            return self._retry_at
        rhythm = self._rhythm
        due_at = self._silent_at
        if self._polled:
            due_at = min(due_at, self._published_at + rhythm.poll_s)
        if moved or self._joined or (self._touched and not self._polled):
            due_at = min(due_at, self._published_at + rhythm.pace_s)
        return due_at
