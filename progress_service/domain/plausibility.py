"""How fast a user may earn, and which attempts are too good to be true.

References: fixed windows, as rate limits of public APIs count; holding back what is implausible
for a decision by people, as games do with suspicious scores, instead of refusing it.
"""

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from enum import StrEnum
from typing import NamedTuple
from zoneinfo import ZoneInfo

from progress_service.domain.bounds import MAX_SCORE
from progress_service.domain.streak import civil_day
from shared.errors import ResourceExhausted

SELF_AWARDS = "~self"
"""What users award themselves is counted as; no source is called so, '~' is in no id."""

VELOCITY_EXCEEDED = "VELOCITY_EXCEEDED"
TOO_MANY_FLAGGED_ATTEMPTS = "TOO_MANY_FLAGGED_ATTEMPTS"
REFUSALS = frozenset({VELOCITY_EXCEEDED, TOO_MANY_FLAGGED_ATTEMPTS})
"""The reasons of refusals; their metadata name the bound."""

_MINUTE = timedelta(minutes=1)
_DAY = timedelta(days=1)


class Bound(StrEnum):
    """What was exceeded; in errors, metrics and stored attempts, so never renamed."""

    MIN_TIME_SPENT = "min_time_spent"
    ATTEMPTS_PER_MINUTE = "attempts_per_minute"
    ATTEMPTS_PER_DAY = "attempts_per_day"
    XP_PER_MINUTE = "xp_per_minute"
    XP_PER_DAY = "xp_per_day"
    FLAGGED_ATTEMPTS = "flagged_attempts"


class Velocity(NamedTuple):
    """What was recorded of a user and a source in one minute, and in one civil day."""

    minute: datetime
    minute_count: int
    minute_xp: int
    day: date
    day_count: int
    day_xp: int

    def plus(self, xp: int) -> "Velocity":
        """With one more attempt or award, which brought so much XP."""
        return Velocity(
            self.minute,
            self.minute_count + 1,
            min(self.minute_xp + xp, MAX_SCORE),
            self.day,
            self.day_count + 1,
            min(self.day_xp + xp, MAX_SCORE),
        )


class Admitted(NamedTuple):
    """What the counts are with it, None: nothing is counted; and the bound for which an attempt is
    kept under review.
    """

    velocity: Velocity | None
    held: Bound | None = None


@dataclass(frozen=True, slots=True)
class Plausibility:
    """The most of one user and source in a minute and in a civil day of `zone`, and of one user
    under review; 0: no bound.
    """

    attempts_per_minute: int
    attempts_per_day: int
    xp_per_minute: int
    xp_per_day: int
    zone: ZoneInfo
    flagged_attempts: int = 0

    @property
    def counts(self) -> bool:
        """Whether there is anything to count."""
        return bool(
            self.attempts_per_minute
            or self.attempts_per_day
            or self.xp_per_minute
            or self.xp_per_day
        )

    def at(self, now: datetime) -> "Admission":
        """What is admitted at this moment."""
        return Admission(self, now, now.replace(second=0, microsecond=0), civil_day(now, self.zone))


@dataclass(frozen=True, slots=True)
class Admission:
    """Admits the attempts and awards of any user at one moment, which is in `minute` and `day`."""

    most: Plausibility
    now: datetime
    minute: datetime
    day: date

    def of_attempt(self, stored: Velocity | None, xp: int, *, too_quick: bool) -> Admitted:
        """An attempt that would be paid so much XP, if it is plausible. Raises ResourceExhausted
        (VELOCITY_EXCEEDED) when there are too many.
        """
        held = Bound.MIN_TIME_SPENT if too_quick else None
        if not self.most.counts:
            return Admitted(None, held)
        so_far = self._so_far(stored)
        bound = self._exceeded_by_one_more(so_far)
        if bound:
            raise self._refusal(bound, so_far)
        held = held or self._exceeded_by_xp(so_far, xp)
        return Admitted(so_far.plus(0 if held else xp), held)

    def of_award(self, stored: Velocity | None, xp: int) -> Admitted:
        """An award of so much XP; 0 when it is of another metric. Raises ResourceExhausted
        (VELOCITY_EXCEEDED) when there are too many, or too much.
        """
        if not self.most.counts:
            return Admitted(None)
        so_far = self._so_far(stored)
        bound = self._exceeded_by_one_more(so_far) or self._exceeded_by_xp(so_far, xp)
        if bound:
            raise self._refusal(bound, so_far, xp)
        return Admitted(so_far.plus(xp))

    def _so_far(self, stored: Velocity | None) -> Velocity:
        """What was counted in the present minute and day.

        What another replica has counted by a clock that is a little ahead is counted on: windows
        do not go back, or two replicas would each admit what one bound allows.
        """
        minute, day = self.minute, self.day
        if stored is None:
            return Velocity(minute, 0, 0, day, 0, 0)
        found = stored
        if not minute <= found.minute <= minute + _MINUTE:
            found = found._replace(minute=minute, minute_count=0, minute_xp=0)
        if not day <= found.day <= day + _DAY:
            found = found._replace(day=day, day_count=0, day_xp=0)
        return found

    def _exceeded_by_one_more(self, so_far: Velocity) -> Bound | None:
        if 0 < self.most.attempts_per_minute <= so_far.minute_count:
            return Bound.ATTEMPTS_PER_MINUTE
        if 0 < self.most.attempts_per_day <= so_far.day_count:
            return Bound.ATTEMPTS_PER_DAY
        return None

    def _exceeded_by_xp(self, so_far: Velocity, xp: int) -> Bound | None:
        if xp and 0 < self.most.xp_per_minute < so_far.minute_xp + xp:
            return Bound.XP_PER_MINUTE
        if xp and 0 < self.most.xp_per_day < so_far.day_xp + xp:
            return Bound.XP_PER_DAY
        return None

    def _refusal(self, bound: Bound, so_far: Velocity, xp: int = 0) -> ResourceExhausted:
        limit = int(getattr(self.most, bound))
        end = so_far.minute + _MINUTE
        if bound in (Bound.ATTEMPTS_PER_DAY, Bound.XP_PER_DAY):
            end = datetime.combine(so_far.day + _DAY, time(), self.most.zone)
        # What is more than the bound by itself never passes.
        hopeless = bound in (Bound.XP_PER_MINUTE, Bound.XP_PER_DAY) and xp > limit
        return ResourceExhausted(
            VELOCITY_EXCEEDED,
            f"More than {limit} {bound.replace('_', ' ')} of one user and source.",
            metadata={"bound": str(bound), "limit": str(limit)},
            retry_delay_s=None if hopeless else max((end - self.now).total_seconds(), 0.0),
        )


def too_many_flagged(limit: int) -> ResourceExhausted:
    """So many of the user's attempts wait for a decision that this one, which would too, is
    refused. Nobody knows when people decide, so there is no delay after which to try again.
    """
    return ResourceExhausted(
        TOO_MANY_FLAGGED_ATTEMPTS,
        f"{limit} attempts of the user wait for a decision already.",
        metadata={"bound": str(Bound.FLAGGED_ATTEMPTS), "limit": str(limit)},
    )
