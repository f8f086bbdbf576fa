"""The time of day in the deployment's zone."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime
from zoneinfo import ZoneInfo


@dataclass(frozen=True)
class CivilClock:
    """Tells the moment, by `now` (aware), and the civil date that it has in `zone`."""

    now: Callable[[], datetime]
    zone: ZoneInfo

    def today(self) -> date:
        """The civil date, which decides what the current periods are."""
        return self.now().astimezone(self.zone).date()
