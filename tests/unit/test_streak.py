"""Streaks: a pure function of sets of days, in any order of arrival."""

from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from random import Random
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from progress_service.domain import active_day
from progress_service.domain.active_day import ActiveDay
from progress_service.domain.streak import (
    GRANT_REACH_DAYS,
    FreezeGrant,
    Run,
    Streak,
    civil_day,
    last_active,
    merged,
    present_days,
    streak_of,
    with_day,
    with_grant,
)
from shared.errors import InvalidInput

DAY = timedelta(days=1)
FIRST = date(2026, 2, 20)


def nth(n: int) -> date:
    return FIRST + n * DAY


DAYS = st.lists(st.integers(0, 25).map(nth), max_size=20)
GRANTS = st.lists(
    st.tuples(st.integers(-10, 35).map(nth), st.integers(1, 5)).map(lambda one: FreezeGrant(*one)),
    max_size=4,
)


def runs_of(days: Iterable[date]) -> tuple[Run, ...]:
    runs: tuple[Run, ...] = ()
    for day in days:
        runs = with_day(runs, day)
    return runs


def grants_of(grants: Iterable[FreezeGrant]) -> tuple[FreezeGrant, ...]:
    held: tuple[FreezeGrant, ...] = ()
    for grant in grants:
        held = with_grant(held, grant)
    return held


def model(active: set[date], amnesty: set[date], grants: list[FreezeGrant], today: date) -> Streak:
    """Day by day, as a person would count."""
    streak = longest = used = 0
    day = min(active, default=today)
    while day <= max([*active, today]):
        usable = sum(one.days for one in grants if one.day - 7 * DAY <= day)
        if day in active:
            streak += 1
        elif day >= today or day in amnesty or not streak:
            pass
        elif used < usable:
            used += 1
        else:
            streak = 0
        longest = max(longest, streak)
        day += DAY
    return Streak(streak, longest, sum(one.days for one in grants) - used)


@settings(max_examples=500)
@given(DAYS, DAYS, st.just([]) | GRANTS, st.integers(-2, 40).map(nth))
def test_the_present_streak_alone_is_that_of_the_whole(
    active: list[date], amnesty: list[date], grants: list[FreezeGrant], today: date
) -> None:
    given_ = (runs_of(active), runs_of(amnesty), grants_of(grants), today)
    assert present_days(*given_) == streak_of(*given_).days


@settings(max_examples=500)
@given(DAYS, DAYS, GRANTS, st.integers(-2, 40).map(nth))
def test_a_streak_is_what_counting_day_by_day_gives(
    active: list[date], amnesty: list[date], grants: list[FreezeGrant], today: date
) -> None:
    found = streak_of(runs_of(active), runs_of(amnesty), grants_of(grants), today)
    assert found == model({*active}, {*amnesty}, grants, today)


@given(DAYS)
def test_runs_hold_each_active_day_once_and_never_touch(days: list[date]) -> None:
    runs = runs_of(days)
    held = [run.first + n * DAY for run in runs for n in range(run.days)]
    assert held == sorted({*days})
    assert all(later.first - earlier.last > DAY for earlier, later in pairwise(runs))
    assert last_active(runs) == max(days, default=None)


@given(DAYS, GRANTS, st.randoms())
def test_the_order_of_arrival_does_not_matter(
    days: list[date], grants: list[FreezeGrant], random: Random
) -> None:
    shuffled = random.sample(days, len(days))
    assert runs_of(days) == runs_of(shuffled)
    assert runs_of(days) == merged(Run(day, day) for day in shuffled)
    assert grants_of(grants) == grants_of(random.sample(grants, len(grants)))


@given(st.lists(st.tuples(st.integers(0, 25), st.integers(0, 9)), max_size=8))
def test_merged_runs_hold_the_days_of_all(spans: list[tuple[int, int]]) -> None:
    runs = [Run(nth(first), nth(first + more)) for first, more in spans]
    days = {nth(first + n) for first, more in spans for n in range(more + 1)}
    assert merged(runs) == runs_of(days)


def test_nobody_has_a_streak_without_an_active_day() -> None:
    grants = (FreezeGrant(FIRST, 3),)
    assert streak_of((), (), (), FIRST) == Streak(0, 0, 0)
    assert streak_of((), (Run(FIRST, nth(9)),), grants, nth(5)) == Streak(0, 0, 3)


def test_a_day_is_lost_only_when_it_is_over() -> None:
    runs = runs_of([nth(0), nth(1)])
    assert [streak_of(runs, (), (), nth(n)).days for n in (1, 2, 3)] == [2, 2, 0]
    assert streak_of(runs, (), (), nth(30)).longest_days == 2


def test_a_day_that_has_begun_elsewhere_counts_and_today_may_still_be_missed() -> None:
    ahead = runs_of([nth(3), nth(4), nth(6)])
    assert streak_of(ahead, (), (), nth(5)).days == 3
    assert streak_of(ahead, (), (), nth(6)).days == 1
    assert streak_of(with_day(ahead, nth(5)), (), (), nth(5)).days == 4
    # Crossing the date line eastward: a day further still.
    assert streak_of(runs_of([nth(6), nth(7)]), (), (), nth(5)).days == 2


def test_an_active_day_again_changes_nothing() -> None:
    runs = runs_of([FIRST, FIRST + DAY])
    assert with_day(runs, FIRST) is runs


def test_an_outage_ends_no_streak_and_adds_no_day() -> None:
    runs = runs_of([nth(0), nth(1), nth(4)])
    outage = (Run(nth(2), nth(3)),)
    assert streak_of(runs, outage, (), nth(4)) == Streak(3, 3, 0)
    assert streak_of(runs, (Run(nth(2), nth(2)),), (), nth(4)) == Streak(1, 2, 0)
    # An amnesty day on which the user was active counts as any other.
    assert streak_of(runs, (Run(nth(1), nth(3)),), (), nth(4)).days == 3
    # The last days too: the streak lives for as long as they follow each other.
    assert streak_of(runs, (Run(nth(2), nth(6)),), (), nth(7)).days == 3
    assert streak_of(runs, (Run(nth(2), nth(6)),), (), nth(8)).days == 0


def test_a_gap_uses_up_a_freeze_for_each_day_that_is_no_amnesty_day() -> None:
    runs = runs_of([nth(0), nth(5)])
    grants = (FreezeGrant(nth(0), 4),)
    assert streak_of(runs, (), grants, nth(5)) == Streak(2, 2, 0)
    assert streak_of(runs, (Run(nth(2), nth(3)),), grants, nth(5)) == Streak(2, 2, 2)
    assert streak_of(runs, (), (FreezeGrant(nth(0), 3),), nth(5)) == Streak(1, 1, 0)


def test_a_late_event_gives_the_freeze_back() -> None:
    grants = (FreezeGrant(nth(0), 1),)
    runs = runs_of([nth(0), nth(2)])
    assert streak_of(runs, (), grants, nth(2)) == Streak(2, 2, 0)
    assert streak_of(with_day(runs, nth(1)), (), grants, nth(2)) == Streak(3, 3, 1)


def test_a_grant_mends_a_streak_that_was_lost_in_the_week_before() -> None:
    runs = runs_of([nth(0), nth(1)])
    lost = 2
    mended = FreezeGrant(nth(lost + GRANT_REACH_DAYS), GRANT_REACH_DAYS)
    assert streak_of(runs, (), (mended,), mended.day).days == 2
    too_late = FreezeGrant(mended.day + DAY, 100)
    assert streak_of(runs, (), (too_late,), too_late.day) == Streak(0, 2, 100)


def test_a_grant_within_a_gap_is_used_for_the_days_that_it_reaches() -> None:
    runs = runs_of([nth(0), nth(21)])
    within = (FreezeGrant(nth(0), 10), FreezeGrant(nth(11 + GRANT_REACH_DAYS), 10))
    assert streak_of(runs, (), within, nth(21)) == Streak(2, 2, 0)
    a_day_late = (FreezeGrant(nth(0), 10), FreezeGrant(nth(12 + GRANT_REACH_DAYS), 10))
    assert streak_of(runs, (), a_day_late, nth(21)) == Streak(1, 1, 10)


def test_a_streak_of_many_years_costs_little() -> None:
    runs = tuple(Run(nth(3 * n), nth(3 * n + 1)) for n in range(5_000))
    amnesty = tuple(Run(nth(3 * n + 2), nth(3 * n + 2)) for n in range(0, 5_000, 2))
    grants = tuple(FreezeGrant(nth(6 * n + 5), 1) for n in range(2_500))
    assert streak_of(runs, amnesty, grants, runs[-1].last) == Streak(10_000, 10_000, 1)
    assert streak_of(runs, (), (FreezeGrant(nth(0), 10_000),), date.max).days == 0


@given(
    st.integers(0, 30 * 366 * 86_400).map(lambda s: datetime.fromtimestamp(10**9 + s, UTC)),
    st.sampled_from(
        ["UTC", "Asia/Jakarta", "America/New_York", "Pacific/Kiritimati", "Asia/Kolkata"]
    ),
)
def test_the_civil_day_is_the_date_on_the_wall(moment: datetime, zone: str) -> None:
    offset = moment.astimezone(ZoneInfo(zone)).utcoffset() or timedelta(0)
    assert civil_day(moment, ZoneInfo(zone)) == (moment + offset).date()


def test_a_carried_day_is_one_that_has_begun_somewhere() -> None:
    now = datetime(2026, 11, 20, 10, 0, tzinfo=UTC)
    begun = date(2026, 11, 21)
    for day in (date(2000, 1, 1), begun):
        active_day.check(ActiveDay("ann", day), now)
    for day, moment in (
        (date(1999, 12, 31), now),
        (begun + DAY, now),
        (begun, now - timedelta(seconds=1)),
    ):
        with pytest.raises(InvalidInput) as caught:
            active_day.check(ActiveDay("ann", day), moment)
        assert [one.field for one in caught.value.violations] == ["date"]
