"""What the judge finds in a run: what was broken, and how much was looked at."""

from collections import Counter
from dataclasses import dataclass, field

EXACTLY_ONCE = "exactly-once"
ANSWERS = "answers"
REDIS = "redis"
WATCHERS = "watchers"
RESTORE = "restore"
CONSISTENCY = "consistency"
BOUNDS = "bounds"
ERRORS = "errors"
LAG = "lag"
PROMISES = (
    EXACTLY_ONCE,
    ANSWERS,
    REDIS,
    WATCHERS,
    RESTORE,
    CONSISTENCY,
    BOUNDS,
    ERRORS,
    LAG,
)
_TOLD = 25
"""Of one kind; the rest is counted."""
_CHARS = 1_500


@dataclass(frozen=True, slots=True)
class Violation:
    """A broken promise. `what` is the kind; `about` says in which call or stream, what was
    expected and what was found; `at` is when it was seen, in seconds of the run.
    """

    promise: str
    what: str
    at: float
    about: str

    def __str__(self) -> str:
        return f"[{self.promise}] {self.at:.3f} s: {self.what}: {self.about}"


@dataclass
class Verdict:
    """`totals` counts violations by promise and kind, of which only the first are in
    `violations`. `checked`: how much was compared, by promise. `empty`: what should have been
    there to compare, and was not, by promise, and faults of which nothing was to be seen: the run
    proves nothing about them.
    """

    violations: list[Violation] = field(default_factory=list)
    totals: Counter[tuple[str, str]] = field(default_factory=Counter)
    checked: dict[str, Counter[str]] = field(
        default_factory=lambda: {promise: Counter() for promise in PROMISES}
    )
    empty: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        return not self.violations and not self.empty

    def broken(self, promise: str, what: str, at: float, about: str) -> None:
        """Notes a violation."""
        self.totals[promise, what] += 1
        if self.totals[promise, what] <= _TOLD:
            self.violations.append(Violation(promise, what, at, about[:_CHARS]))

    def count(self, promise: str, what: str, number: int = 1) -> None:
        """Notes what was compared."""
        self.checked[promise][what] += number
