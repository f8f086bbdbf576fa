"""The counts of an import of whole data sets, and what was rejected by reason."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from shared.gen.laurel.progress.v1.admin_pb2 import (
    ImportError as ImportProblem,
)
from shared.gen.laurel.progress.v1.admin_pb2 import (
    ImportItemCounts,
    ImportProgressResponse,
)

EXAMPLES = 3


@dataclass
class Rejection:
    """What was refused for one reason: how often, and the first few."""

    count: int = 0
    examples: list[ImportProblem] = field(default_factory=list)


@dataclass
class ImportCounts:
    """The running counts of an import, as the server last answered them; the plain numbers are
    of attempts and awards.
    """

    received: int = 0
    recorded: int = 0
    replayed: int = 0
    rejected: int = 0
    xp_credited: int = 0
    users: ImportItemCounts = field(default_factory=ImportItemCounts)
    courses: ImportItemCounts = field(default_factory=ImportItemCounts)
    elapsed_s: float = 0.0
    rejections: dict[str, Rejection] = field(default_factory=dict)
    _started: float = field(default_factory=time.monotonic)

    @property
    def per_second(self) -> float:
        """Attempts answered in a second, over the whole import."""
        return self.received / self.elapsed_s if self.elapsed_s > 0 else 0.0

    @property
    def all_rejected(self) -> int:
        """Items of every kind that were rejected."""
        return self.rejected + self.users.rejected + self.courses.rejected

    @property
    def unlisted(self) -> int:
        """Rejected items that the server counted, but had no room to name."""
        return self.all_rejected - sum(each.count for each in self.rejections.values())

    def take(self, answer: ImportProgressResponse) -> None:
        """Add one answer."""
        self.received = answer.received
        self.recorded = answer.recorded
        self.replayed = answer.replayed
        self.rejected = answer.rejected
        self.xp_credited = answer.xp_credited
        self.users = answer.users
        self.courses = answer.courses
        for problem in answer.errors:
            rejection = self.rejections.setdefault(problem.reason, Rejection())
            rejection.count += 1
            if len(rejection.examples) < EXAMPLES:
                rejection.examples.append(problem)
        self.elapsed_s = time.monotonic() - self._started
