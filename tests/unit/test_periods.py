"""Windows and their periods: the calendar, ISO weeks, and zones."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.periods import (
    Window,
    earlier_period,
    parse_period,
    period_end,
    period_of,
    period_range,
    periods_of,
)

DAYS = st.dates(date(2000, 1, 1), date(2199, 12, 31))
WINDOWS = st.sampled_from(Window)
SPANS = st.sampled_from([window for window in Window if window is not Window.ALL_TIME])


@given(DAYS)
def test_a_day_lies_in_the_calendars_periods(day: date) -> None:
    assert dict(periods_of(day)) == {
        Window.ALL_TIME: "",
        Window.YEAR: day.strftime("%Y"),
        Window.MONTH: day.strftime("%Y-%m"),
        Window.WEEK: day.strftime("%G-W%V"),
        Window.DAY: day.strftime("%Y-%m-%d"),
    }


@pytest.mark.parametrize(
    ("day", "week"),
    [
        (date(2024, 12, 29), "2024-W52"),
        (date(2024, 12, 30), "2025-W01"),
        (date(2026, 12, 31), "2026-W53"),
        (date(2027, 1, 1), "2026-W53"),
        (date(2027, 1, 3), "2026-W53"),
        (date(2027, 1, 4), "2027-W01"),
        (date(2013, 12, 30), "2014-W01"),
    ],
)
def test_weeks_at_the_turn_of_the_year_belong_to_the_year_of_their_thursday(
    day: date, week: str
) -> None:
    assert period_of(Window.WEEK, day) == week


@given(WINDOWS, DAYS)
def test_a_period_holds_exactly_the_days_from_its_first_to_the_one_before_its_end(
    window: Window, day: date
) -> None:
    period = period_of(window, day)
    first, end = period_range(window, period)
    assert first <= day < end
    if window is not Window.ALL_TIME:
        assert period_of(window, end - timedelta(days=1)) == period
        assert period_of(window, first) == period == period_of(window, parse_period(window, period))
        assert period_of(window, first - timedelta(days=1)) != period
        assert period_of(window, end) != period


@given(SPANS, DAYS, DAYS)
def test_periods_sort_as_text_like_their_days(window: Window, one: date, other: date) -> None:
    if one <= other:
        assert period_of(window, one) <= period_of(window, other)


@given(SPANS, DAYS, st.integers(0, 60))
def test_an_earlier_period_is_reached_step_by_step(window: Window, day: date, count: int) -> None:
    first = period_range(window, period_of(window, day))[0]
    for _ in range(count):
        first = period_range(window, period_of(window, first - timedelta(days=1)))[0]
    assert earlier_period(window, day, count) == period_of(window, first)


@pytest.mark.parametrize(
    ("window", "text"),
    [
        (Window.ALL_TIME, "2026"),
        (Window.YEAR, ""),
        (Window.YEAR, "26"),
        (Window.YEAR, "0000"),
        (Window.YEAR, "2026\n"),
        (Window.YEAR, "\uff12\uff10\uff12\uff16"),
        (Window.MONTH, "2026-1"),
        (Window.MONTH, "2026-13"),
        (Window.MONTH, "2026-00"),
        (Window.WEEK, "2026-47"),
        (Window.WEEK, "2025-W53"),
        (Window.WEEK, "2026-W00"),
        (Window.DAY, "2026-02-29"),
        (Window.DAY, "2026-W47"),
        (Window.DAY, "20261120"),
    ],
)
def test_a_period_of_another_form_or_out_of_the_calendar_is_refused(
    window: Window, text: str
) -> None:
    with pytest.raises(ValueError, match=r"must be|calendar"):
        parse_period(window, text)


@given(SPANS, DAYS, st.sampled_from(["UTC", "Asia/Jakarta", "America/New_York"]))
def test_a_period_ends_at_midnight_of_the_zone(window: Window, day: date, zone: str) -> None:
    end = period_end(window, period_of(window, day), ZoneInfo(zone))
    assert end is not None
    last = (end.astimezone(UTC) - timedelta(microseconds=1)).astimezone(ZoneInfo(zone)).date()
    assert period_of(window, last) == period_of(window, day)
    assert period_of(window, end.astimezone(ZoneInfo(zone)).date()) != period_of(window, day)


def test_all_time_does_not_end() -> None:
    assert period_end(Window.ALL_TIME, "", ZoneInfo("UTC")) is None


def test_a_day_may_have_23_or_25_hours() -> None:
    zone = ZoneInfo("Europe/Berlin")
    for day, hours in (("2026-03-29", 23), ("2026-10-25", 25)):
        first = datetime.fromisoformat(day).replace(tzinfo=zone).astimezone(UTC)
        end = period_end(Window.DAY, day, zone)
        assert end is not None
        assert end.astimezone(UTC) - first == timedelta(hours=hours)
