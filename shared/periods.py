"""Windows and their periods: civil dates of the deployment's zone. Pure.

A window is a kind of span (WEEK); a period names one occurrence of it ("2026-W47").
Weeks are ISO 8601 weeks: they begin on Monday, and the week of 4 January is the first.
"""

import re
from datetime import date, datetime, timedelta
from enum import IntEnum
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError


class Window(IntEnum):
    """The contract's windows, with its numbers."""

    ALL_TIME = 1
    YEAR = 2
    MONTH = 3
    WEEK = 4
    DAY = 5


_PATTERNS = {
    Window.ALL_TIME: re.compile(r""),
    Window.YEAR: re.compile(r"([0-9]{4})"),
    Window.MONTH: re.compile(r"([0-9]{4})-([0-9]{2})"),
    Window.WEEK: re.compile(r"([0-9]{4})-W([0-9]{2})"),
    Window.DAY: re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2})"),
}
_SHAPES = {
    Window.ALL_TIME: "empty",
    Window.YEAR: 'like "2026"',
    Window.MONTH: 'like "2026-11"',
    Window.WEEK: 'like "2026-W47"',
    Window.DAY: 'like "2026-11-20"',
}


def known_zone(name: str) -> str:
    """The name of an IANA time zone; raises ValueError for another one."""
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f"{name!r} is not an IANA time zone") from None
    return name


def period_of(window: Window, day: date) -> str:
    """The period of `window` that holds `day`; "" for ALL_TIME."""
    match window:
        case Window.ALL_TIME:
            return ""
        case Window.YEAR:
            return f"{day.year:04d}"
        case Window.MONTH:
            return f"{day.year:04d}-{day.month:02d}"
        case Window.WEEK:
            year, week, _ = day.isocalendar()
            return f"{year:04d}-W{week:02d}"
        case Window.DAY:
            return day.isoformat()


@lru_cache(maxsize=8192)
def periods_of(day: date) -> tuple[tuple[Window, str], ...]:
    """Every window with its period that holds `day`, ALL_TIME first."""
    return tuple((window, period_of(window, day)) for window in Window)


def parse_period(window: Window, period: str) -> date:
    """The first day of a period (`date.min` for ALL_TIME).

    Raises ValueError, with a text fit for the caller, when `period` does not have the
    window's form or names no day of the calendar.
    """
    found = _PATTERNS[window].fullmatch(period)
    if found is None:
        raise ValueError(f"must be {_SHAPES[window]} for {window.name}")
    if window is Window.ALL_TIME:
        return date.min
    numbers = [int(group) for group in found.groups()]
    try:
        if window is Window.WEEK:
            return date.fromisocalendar(numbers[0], numbers[1], 1)
        return date(numbers[0], *[*numbers[1:], 1, 1][:2])
    except ValueError:
        raise ValueError(f"{period} is not in the calendar") from None


def period_range(window: Window, period: str) -> tuple[date, date]:
    """The first day of the period and the first day after it.

    Raises ValueError as `parse_period`; the end is `date.max` where the calendar ends.
    """
    first = parse_period(window, period)
    try:
        match window:
            case Window.ALL_TIME:
                return date.min, date.max
            case Window.YEAR:
                return first, date(first.year + 1, 1, 1)
            case Window.MONTH:
                return first, (first + timedelta(days=31)).replace(day=1)
            case Window.WEEK:
                return first, first + timedelta(days=7)
            case Window.DAY:
                return first, first + timedelta(days=1)
    except (ValueError, OverflowError):
        return first, date.max


def period_end(window: Window, period: str, zone: ZoneInfo) -> datetime | None:
    """The instant at which the period ends in `zone`; None for ALL_TIME."""
    if window is Window.ALL_TIME:
        return None
    _, end = period_range(window, period)
    return datetime(end.year, end.month, end.day, tzinfo=zone)


def earlier_period(window: Window, day: date, count: int) -> str:
    """The period that lies `count` (>= 0) periods before the one that holds `day`."""
    first, _ = period_range(window, period_of(window, day))
    match window:
        case Window.ALL_TIME:
            return ""
        case Window.YEAR:
            return f"{max(first.year - count, 1):04d}"
        case Window.MONTH:
            months = max(first.year * 12 + first.month - 1 - count, 12)
            return f"{months // 12:04d}-{months % 12 + 1:02d}"
        case Window.WEEK:
            return period_of(window, first - timedelta(weeks=count))
        case Window.DAY:
            return period_of(window, first - timedelta(days=count))
