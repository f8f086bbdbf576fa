"""Restarting what ends by itself, with pauses that grow."""

import random
from collections.abc import Callable
from typing import Protocol

from shared.embedded.errors import EmbeddedError
from shared.embedded.logfile import LogFile

FIRST_PAUSE_S = 0.3
LONGEST_PAUSE_S = 15.0
STEADY_S = 30.0  # whoever has run this long starts with the first pause again


class Unit(Protocol):
    """A process, or a server of several, that is started, watched over and stopped."""

    name: str
    log: LogFile

    @property
    def running(self) -> bool: ...

    @property
    def exit_code(self) -> int | None: ...

    def start(self) -> None: ...

    def stop(self) -> None: ...

    def kill(self) -> None: ...


class Supervised:
    """One unit and its restarts."""

    def __init__(self, unit: Unit, say: Callable[[str], None], *, finishes: bool = False) -> None:
        self.unit = unit
        self._finishes = finishes
        self._say = say
        self._pause_s = FIRST_PAUSE_S
        self._running_since: float | None = None
        self._restart_at: float | None = None
        self._finished = False

    def check(self, now: float) -> None:
        """Looks after the unit, at the monotonic time `now`.

        A unit that has ended is started again after its pause; one that `finishes` and has ended
        with exit code 0 is left alone.
        """
        if self._finished:
            return
        if self.unit.running:
            self._note_running(now)
        elif self._finishes and self.unit.exit_code == 0 and self._restart_at is None:
            self._finished = True
        elif self._restart_at is None:
            pause_s = self._next_pause_s()
            self._restart_at = now + pause_s
            self._say(
                f"{self.unit.name} {_end(self.unit.exit_code)}; started again in {pause_s:.1f} s "
                f"(log: {self.unit.log.path})"
            )
        elif now >= self._restart_at:
            self._restart(now)

    def _note_running(self, now: float) -> None:
        self._restart_at = None
        if self._running_since is None:
            self._running_since = now
        elif now - self._running_since > STEADY_S:
            self._pause_s = FIRST_PAUSE_S

    def _next_pause_s(self) -> float:
        self._running_since = None
        pause_s = self._pause_s * random.uniform(0.8, 1.2)
        self._pause_s = min(self._pause_s * 2, LONGEST_PAUSE_S)
        return pause_s

    def _restart(self, now: float) -> None:
        try:
            self.unit.start()
        except EmbeddedError as error:
            pause_s = self._next_pause_s()
            self._restart_at = now + pause_s
            self._say(f"{error}; tried again in {pause_s:.1f} s")
        else:
            self._restart_at = None
            self._say(f"{self.unit.name} is started again")


def _end(exit_code: int | None) -> str:
    if exit_code is not None and exit_code < 0:
        return f"was ended by signal {-exit_code}"
    return f"ended with exit code {exit_code}"
