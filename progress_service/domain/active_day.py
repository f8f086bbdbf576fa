"""An active day that is carried over from elsewhere."""

from datetime import UTC, date, datetime, timedelta
from typing import NamedTuple

from progress_service.domain import bounds
from shared.errors import invalid_field

_EARLIEST_ZONE = timedelta(hours=14)
"""Where a day begins first: in Kiritimati, at UTC+14."""


class ActiveDay(NamedTuple):
    """A civil day, in the user's own zone, on which the user was active."""

    user_id: str
    day: date


def check(one: ActiveDay, now: datetime) -> None:
    """InvalidInput (INVALID_FIELD) about `date`: before 2000, or not begun anywhere on earth."""
    latest = (now + _EARLIEST_ZONE).astimezone(UTC).date()
    if not bounds.EARLIEST_DAY <= one.day <= latest:
        raise invalid_field("date", "must be 2000-01-01 to today")
