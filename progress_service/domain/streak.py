"""Streaks: a pure function of the set of a user's active civil days.

The set is kept as runs: disjoint, sorted, each from its first to its last day. A streak
lives while its last day is today or yesterday, as in Trophy and Duolingo: a day is only
lost when it is over.
"""

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Run:
    """Consecutive active days, both ends included."""

    first: date
    last: date

    @property
    def days(self) -> int:
        """How many days."""
        return (self.last - self.first).days + 1


def civil_day(moment: datetime, zone: ZoneInfo) -> date:
    """The date that the wall clock in `zone` shows at `moment`."""
    return moment.astimezone(zone).date()


def with_day(runs: tuple[Run, ...], day: date) -> tuple[Run, ...]:
    """The runs after `day` became active; `runs` itself when it was already."""
    if any(run.first <= day <= run.last for run in runs):
        return runs
    first = last = day
    kept: list[Run] = []
    for run in runs:
        if run.last == day - _DAY:
            first = run.first
        elif run.first == day + _DAY:
            last = run.last
        else:
            kept.append(run)
    return tuple(sorted([*kept, Run(first, last)], key=lambda run: run.first))


def current_streak(runs: tuple[Run, ...], today: date) -> int:
    """Days of the run that holds today or yesterday; 0 when there is none."""
    for run in reversed(runs):
        if run.first <= today + _DAY and run.last >= today - _DAY:
            return run.days
    return 0


def longest_streak(runs: tuple[Run, ...]) -> int:
    """Days of the longest run."""
    return max((run.days for run in runs), default=0)


def last_active(runs: tuple[Run, ...]) -> date | None:
    """The latest active day."""
    return runs[-1].last if runs else None
