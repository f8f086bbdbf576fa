"""Which zone a user had at a moment, and the civil day that follows from it."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from progress_service.domain.streak import civil_day
from progress_service.domain.zone import ZoneChange, zone_at
from progress_service.store.zones import changes_of, zone_of

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
MOMENTS = st.integers(0, 50).map(lambda n: BEGIN + n * timedelta(hours=1))


@given(st.lists(MOMENTS, max_size=8).map(sorted), MOMENTS)
def test_a_zone_holds_until_it_changes(untils: list[datetime], moment: datetime) -> None:
    earlier = [ZoneChange(until, f"zone {n}") for n, until in enumerate(untils)]
    expected = next((one.time_zone for one in earlier if moment < one.until), "present")
    assert zone_at(moment, "present", earlier) == expected


@pytest.mark.parametrize(
    ("zone", "wall", "day"),
    [
        # Clocks go forward: the hour after 02:00 is missing.
        ("America/New_York", "2024-03-10T23:59:00", date(2024, 3, 10)),
        ("America/New_York", "2024-03-11T00:00:00", date(2024, 3, 11)),
        ("Pacific/Auckland", "2024-09-29T23:59:00", date(2024, 9, 29)),
        # Clocks go back: an hour comes twice.
        ("America/New_York", "2024-11-03T00:30:00", date(2024, 11, 3)),
        ("America/New_York", "2024-11-03T23:59:00", date(2024, 11, 3)),
        ("Pacific/Auckland", "2024-04-07T23:59:00", date(2024, 4, 7)),
        # Offsets that are no whole hours, and the first to see a day.
        ("Asia/Kathmandu", "2026-05-05T00:00:00", date(2026, 5, 5)),
        ("Pacific/Kiritimati", "2026-05-05T00:00:00", date(2026, 5, 5)),
        ("Asia/Jakarta", "2026-05-05T23:59:59.999999", date(2026, 5, 5)),
    ],
)
def test_the_day_is_the_one_on_the_wall(zone: str, wall: str, day: date) -> None:
    moment = datetime.fromisoformat(wall).replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)
    assert civil_day(moment, ZoneInfo(zone)) == day


@pytest.mark.parametrize(
    ("zone", "before", "after", "midnights"),
    [
        # At midnight itself: the day begins at 01:00, or its last hour comes twice.
        ("Africa/Cairo", "2024-04-25T21:59:59+00:00", "2024-04-25T22:00:00+00:00", (25, 26)),
        ("America/Havana", "2024-03-10T04:59:59+00:00", "2024-03-10T05:00:00+00:00", (9, 10)),
        ("Asia/Beirut", "2024-10-26T20:59:59+00:00", "2024-10-26T21:00:00+00:00", (26, 26)),
    ],
)
def test_a_clock_that_changes_at_midnight_skips_and_repeats_no_day(
    zone: str, before: str, after: str, midnights: tuple[int, int]
) -> None:
    days = [civil_day(datetime.fromisoformat(one), ZoneInfo(zone)).day for one in (before, after)]
    assert (days[0], days[1]) == midnights


def test_a_zone_that_is_unknown_here_is_read_as_the_deployments() -> None:
    deployment = ZoneInfo("Asia/Jakarta")
    assert zone_of("", deployment) is deployment
    assert zone_of("Mars/Olympus", deployment) is deployment
    assert zone_of("Asia/Kathmandu", deployment) == ZoneInfo("Asia/Kathmandu")


def test_the_stored_history_is_read_in_its_order() -> None:
    document = '[["2026-01-01T00:00:00.000000+00:00", ""], ["2026-02-01T00:00:00.5+00:00", "UTC"]]'
    assert changes_of(document) == (
        ZoneChange(BEGIN, ""),
        ZoneChange(datetime(2026, 2, 1, 0, 0, 0, 500_000, tzinfo=UTC), "UTC"),
    )
    assert changes_of("[]") == ()
