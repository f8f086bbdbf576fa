"""Streaks: a pure function of the set of active civil days, in any order of arrival."""

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from progress_service.domain.streak import (
    Run,
    civil_day,
    current_streak,
    last_active,
    longest_streak,
    with_day,
)

DAY = timedelta(days=1)
FIRST = date(2026, 2, 20)
DAYS = st.lists(st.integers(0, 25).map(lambda n: FIRST + n * DAY), max_size=20)


def runs_of(days: list[date]) -> tuple[Run, ...]:
    runs: tuple[Run, ...] = ()
    for day in days:
        runs = with_day(runs, day)
    return runs


def naive_streak(days: set[date], today: date) -> int:
    """Counts back from today, or from yesterday when today is still to come."""
    last = today if today in days else today - DAY
    count = 0
    while last - count * DAY in days:
        count += 1
    return count


@given(DAYS)
def test_runs_hold_each_active_day_once_and_never_touch(days: list[date]) -> None:
    runs = runs_of(days)
    held = [run.first + n * DAY for run in runs for n in range(run.days)]
    assert held == sorted(set(days))
    assert all(later.first - earlier.last > DAY for earlier, later in pairwise(runs))


@given(DAYS, st.randoms())
def test_the_order_of_arrival_does_not_matter(days: list[date], random: object) -> None:
    shuffled = [*days]
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert runs_of(days) == runs_of(shuffled)


@given(DAYS, st.integers(0, 27))
def test_the_streak_counts_back_from_today_or_yesterday(days: list[date], ahead: int) -> None:
    today = FIRST + ahead * DAY
    past = [day for day in days if day <= today]
    assert current_streak(runs_of(past), today) == naive_streak({*past}, today)


@given(DAYS)
def test_the_longest_streak_is_the_longest_there_ever_was(days: list[date]) -> None:
    known = {*days}
    longest = max((naive_streak(known, day) for day in known), default=0)
    assert longest_streak(runs_of(days)) == longest
    assert last_active(runs_of(days)) == max(known, default=None)


def test_a_day_is_lost_only_when_it_is_over() -> None:
    runs = runs_of([FIRST, FIRST + DAY])
    assert [current_streak(runs, FIRST + n * DAY) for n in (1, 2, 3)] == [2, 2, 0]


def test_an_active_day_again_changes_nothing() -> None:
    runs = runs_of([FIRST, FIRST + DAY])
    assert with_day(runs, FIRST) is runs


@given(
    st.integers(0, 30 * 366 * 86_400).map(lambda s: datetime.fromtimestamp(10**9 + s, UTC)),
    st.sampled_from(
        ["UTC", "Asia/Jakarta", "America/New_York", "Pacific/Kiritimati", "Asia/Kolkata"]
    ),
)
def test_the_civil_day_is_the_date_on_the_wall(moment: datetime, zone: str) -> None:
    offset = moment.astimezone(ZoneInfo(zone)).utcoffset() or timedelta(0)
    assert civil_day(moment, ZoneInfo(zone)) == (moment + offset).date()


def test_daylight_saving_neither_adds_nor_loses_a_day() -> None:
    zone = ZoneInfo("America/New_York")
    evenings = [datetime(2026, 3, day, 23, 30, tzinfo=zone) for day in (7, 8, 9)]
    runs = runs_of([civil_day(moment.astimezone(UTC), zone) for moment in evenings])
    assert runs == (Run(date(2026, 3, 7), date(2026, 3, 9)),)
