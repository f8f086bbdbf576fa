"""Amnesty days: civil days that end nobody's streak, whatever the zone."""

from collections.abc import Iterator
from datetime import date
from typing import NamedTuple

from progress_service.domain import bounds
from shared.errors import FieldViolation, invalid_fields


class AmnestyDay(NamedTuple):
    """A day, and why it is one."""

    day: date
    reason: str


def check(amnesty_day: AmnestyDay) -> None:
    """InvalidInput (INVALID_FIELD) that names every wrong field."""
    violations = [*_violations(amnesty_day)]
    if violations:
        raise invalid_fields(violations)


def _violations(amnesty_day: AmnestyDay) -> Iterator[FieldViolation]:
    if not bounds.EARLIEST_DAY <= amnesty_day.day <= bounds.LATEST_AMNESTY_DAY:
        yield FieldViolation("date", "must be 2000-01-01 to 2100-12-31")
    if not bounds.is_plain_text(amnesty_day.reason, bounds.MAX_REASON_CHARS):
        yield FieldViolation("reason", "must be at most 500 printable characters")
