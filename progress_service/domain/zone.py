"""Which time zone a user had at a moment: zones change, and the past keeps the one it had."""

from bisect import bisect_right
from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple


class ZoneChange(NamedTuple):
    """The user had `time_zone` until this moment, which is not included."""

    until: datetime
    time_zone: str


def zone_at(moment: datetime, present: str, earlier: Sequence[ZoneChange]) -> str:
    """The name of the zone at `moment`; `earlier` is in the order of its moments.

    What lies before the first zone that is known has that one. Cost: O(log n).
    """
    passed = bisect_right(earlier, moment, key=_until)
    return earlier[passed].time_zone if passed < len(earlier) else present


def _until(change: ZoneChange) -> datetime:
    return change.until
