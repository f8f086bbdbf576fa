"""Ledger entries: immutable credits of a metric; a correction is another entry."""

from datetime import date, datetime
from typing import NamedTuple

from progress_service.domain.bounds import MAX_SCORE
from shared.errors import FailedPrecondition

XP = "xp"
MARKS = "marks"
LEVEL_SOURCE = "level"
"""The source of entries that a level pays; callers cannot use it."""


class Credit(NamedTuple):
    """What a rule decided to add to one of the user's metrics."""

    metric: str
    amount: int
    source: str
    total_before: int
    reference: str = ""
    course_id: str = ""
    level_id: str = ""

    @property
    def total_after(self) -> int:
        """The user's all-time total with this credit."""
        return self.total_before + self.amount


class Moment(NamedTuple):
    """When something happened, and the deployment's civil date of it."""

    time: datetime
    day: date


def checked(credit: Credit) -> Credit:
    """The credit itself, or FailedPrecondition (TOTAL_TOO_LARGE) beyond 2^53 - 1."""
    if credit.total_after > MAX_SCORE:
        raise FailedPrecondition(
            "TOTAL_TOO_LARGE",
            f"The total of {credit.metric} would exceed 2^53 - 1.",
            metadata={"metric": credit.metric, "total": str(credit.total_before)},
        )
    return credit
