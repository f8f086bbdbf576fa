"""What an import is made of, what becomes of it, and the counts of that."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from progress_service.domain.active_day import ActiveDay
from progress_service.domain.course import Course
from progress_service.domain.ledger import XP
from progress_service.domain.user import User
from progress_service.store.outcomes import Command, Outcome
from shared.errors import LaurelError

Stored = LaurelError | None
"""What became of a user, a course or an active day: why it was rejected; None: stored."""


@dataclass(frozen=True)
class ImportBatch:
    """One message's contents. An item that could not be decoded is the error instead.

    The first `attempts` of `commands` are attempts, the others awards.
    """

    users: Sequence[User | LaurelError] = ()
    courses: Sequence[Course | LaurelError] = ()
    commands: Sequence[Command | LaurelError] = ()
    attempts: int = 0
    request_ids: Sequence[str] = ()
    active_days: Sequence[ActiveDay | LaurelError] = ()

    @property
    def defines(self) -> bool:
        """Whether it holds more than attempts and awards."""
        return bool(self.users or self.courses or self.active_days)

    @cached_property
    def numbered_users(self) -> list[tuple[int, str]]:
        """The number and the user of each command that could be decoded."""
        return [
            (n, one.user_id)
            for n, one in enumerate(self.commands)
            if not isinstance(one, LaurelError)
        ]

    @cached_property
    def user_ids(self) -> frozenset[str]:
        """The users of its attempts and awards."""
        return frozenset(user_id for _, user_id in self.numbered_users)


@dataclass(frozen=True, slots=True)
class BatchOutcomes:
    """What became of each item of a batch, by kind and in its order."""

    users: Sequence[Stored]
    courses: Sequence[Stored]
    commands: Sequence[Outcome]
    active_days: Sequence[Stored]


@dataclass(frozen=True, slots=True)
class Rejection:
    """An item that was refused; `index` counts across the whole import, from 0, users, courses
    and active days each by themselves, attempts and awards together. `item` is its place in its
    message, such as "users[7]".
    """

    index: int
    item: str
    request_id: str
    error: LaurelError


@dataclass(slots=True)
class ItemCounts:
    """Of one kind, so far: `received` less `rejected` are stored."""

    received: int = 0
    rejected: int = 0

    @property
    def stored(self) -> int:
        """Those that are in the database as they came."""
        return self.received - self.rejected

    def take(self, kind: str, outcomes: Sequence[Stored]) -> list[Rejection]:
        """Counts a batch's items; its rejections."""
        rejections = [
            Rejection(self.received + n, f"{kind}[{n}]", "", error)
            for n, error in enumerate(outcomes)
            if error is not None
        ]
        self.received += len(outcomes)
        self.rejected += len(rejections)
        return rejections


@dataclass(slots=True)
class ImportCounts:
    """So far, over the whole import; the plain numbers are of attempts and awards."""

    received: int = 0
    recorded: int = 0
    replayed: int = 0
    rejected: int = 0
    xp_credited: int = 0
    users: ItemCounts = field(default_factory=ItemCounts)
    courses: ItemCounts = field(default_factory=ItemCounts)
    active_days: ItemCounts = field(default_factory=ItemCounts)

    def take(self, batch: ImportBatch, outcomes: BatchOutcomes) -> list[Rejection]:
        """Counts a written batch; its rejections, in the order of its parts."""
        return [
            *self.users.take("users", outcomes.users),
            *self.courses.take("courses", outcomes.courses),
            *self._take_commands(batch, outcomes.commands),
            *self.active_days.take("active_days", outcomes.active_days),
        ]

    def _take_commands(
        self, batch: ImportBatch, outcomes: Sequence[Outcome]
    ) -> Iterator[Rejection]:
        first = self.received
        for n, outcome in enumerate(outcomes):
            self._count(outcome)
            if isinstance(outcome, LaurelError):
                place = n - batch.attempts
                item = f"awards[{place}]" if place >= 0 else f"attempts[{n}]"
                yield Rejection(first + n, item, batch.request_ids[n], outcome)

    def _count(self, outcome: Outcome) -> None:
        self.received += 1
        if isinstance(outcome, LaurelError):
            self.rejected += 1
        elif outcome.replayed:
            self.replayed += 1
        else:
            self.recorded += 1
            self.xp_credited += sum(
                entry.credit.amount for entry in outcome.credited if entry.credit.metric == XP
            )
