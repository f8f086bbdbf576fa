"""Streaks: a pure function of the set of a user's active civil days, of the amnesty days, and
of the freezes that the user was granted.

A streak's days are active days alone. An inactive day that is over ends it, except that an
amnesty day is passed over, and that any other day uses up a freeze when there is one. Days are
taken in their order, so the same sets give the same streak whatever arrived first. A day is
only lost when it is over, as in Trophy and Duolingo.

Days are kept as runs: disjoint, sorted, each from its first to its last day.
"""

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

_DAY = timedelta(days=1)

GRANT_REACH_DAYS = 7
"""A freeze can be used for days since this many before its grant, so that a streak that was
lost lately can be mended.
"""


@dataclass(frozen=True, slots=True)
class Run:
    """Consecutive days, both ends included."""

    first: date
    last: date

    @property
    def days(self) -> int:
        """How many days."""
        return (self.last - self.first).days + 1


class FreezeGrant(NamedTuple):
    """`days` freezes that were granted on `day`."""

    day: date
    days: int


@dataclass(frozen=True, slots=True)
class Streak:
    """`days`: of the present streak, 0: none; `freezes`: granted and not used up."""

    days: int
    longest_days: int
    freezes: int


def civil_day(moment: datetime, zone: ZoneInfo) -> date:
    """The date that the wall clock in `zone` shows at `moment`."""
    return moment.astimezone(zone).date()


def with_day(runs: tuple[Run, ...], day: date) -> tuple[Run, ...]:
    """The runs after `day` became active; `runs` itself when it was already."""
    if any(run.first <= day <= run.last for run in runs):
        return runs
    return merged([*runs, Run(day, day)])


def merged(runs: Iterable[Run]) -> tuple[Run, ...]:
    """The days of all these runs, which may touch or overlap, as runs."""
    found: list[Run] = []
    for run in sorted(runs, key=_first):
        if found and run.first <= found[-1].last + _DAY:
            if run.last > found[-1].last:
                found[-1] = Run(found[-1].first, run.last)
        else:
            found.append(run)
    return tuple(found)


def _first(run: Run) -> date:
    return run.first


def last_active(runs: tuple[Run, ...]) -> date | None:
    """The latest active day."""
    return runs[-1].last if runs else None


def with_grant(grants: Sequence[FreezeGrant], grant: FreezeGrant) -> tuple[FreezeGrant, ...]:
    """The grants and one more, a day's together, in the order of their days."""
    days = {one.day: one.days for one in grants}
    days[grant.day] = days.get(grant.day, 0) + grant.days
    return tuple(FreezeGrant(day, days[day]) for day in sorted(days))


def streak_of(
    runs: tuple[Run, ...], amnesty: tuple[Run, ...], grants: Sequence[FreezeGrant], today: date
) -> Streak:
    """The streak as `today`, the user's civil day, sees it.

    Active days that are still to come count: a clock may run ahead, and who crosses the date
    line meets a day again. Days that are not over end nothing. Cost: O(runs + amnesty runs +
    grants).
    """
    gaps = _Gaps(amnesty, grants)
    yesterday = today.toordinal() - 1
    days = longest = next_day = 0
    for run in runs:
        first, last = run.first.toordinal(), run.last.toordinal()
        if days and not gaps.outlived(next_day, min(first - 1, yesterday)):
            days = 0
        next_day = last + 1
        days += next_day - first
        longest = max(longest, days)
    if days and not gaps.outlived(next_day, yesterday):
        days = 0
    return Streak(days, longest, gaps.freezes)


def present_days(
    runs: tuple[Run, ...], amnesty: tuple[Run, ...], grants: Sequence[FreezeGrant], today: date
) -> int:
    """As `streak_of` says, of the present streak alone. Without grants it looks back no further
    than that streak reaches; `amnesty` days are merged.
    """
    if grants:
        return streak_of(runs, amnesty, grants, today).days
    days, gap_last = 0, today - _DAY
    for run in reversed(runs):
        gap_first = run.last + _DAY
        if gap_first <= gap_last and not _covers(amnesty, gap_first, gap_last):
            break
        days += run.days
        gap_last = min(run.first - _DAY, today - _DAY)
    return days


def _covers(amnesty: Sequence[Run], first: date, last: date) -> bool:
    passed = bisect_right(amnesty, first, key=_first)
    return passed > 0 and amnesty[passed - 1].last >= last


class _Gaps:
    """Gaps of one streak after the other, asked about in their order; days are ordinals."""

    def __init__(self, amnesty: Sequence[Run], grants: Sequence[FreezeGrant]) -> None:
        self._amnesty = [(run.first.toordinal(), run.last.toordinal()) for run in amnesty]
        self._amnesty.reverse()
        self._grants = [(one.day.toordinal() - GRANT_REACH_DAYS, one.days) for one in grants]
        self._grants.reverse()
        self._usable = 0
        self.freezes = sum(one.days for one in grants)

    def outlived(self, first: int, last: int) -> bool:
        """Whether a streak outlives these inactive days; freezes are used up either way."""
        while first <= last:
            while self._amnesty and self._amnesty[-1][1] < first:
                self._amnesty.pop()
            free_first, free_last = self._amnesty[-1] if self._amnesty else (last + 1, last)
            if first < free_first and not self._frozen(first, min(free_first - 1, last)):
                return False
            first = max(first, free_last + 1)
        return True

    def _frozen(self, first: int, last: int) -> bool:
        """Uses up a freeze for each of these days, as far as there are any."""
        while first <= last:
            while self._grants and self._grants[-1][0] <= first:
                self._usable += self._grants.pop()[1]
            if not self._usable:
                return False
            used = min(self._usable, last - first + 1)
            self._usable -= used
            self.freezes -= used
            first += used
        return True
