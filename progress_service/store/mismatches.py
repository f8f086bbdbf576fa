"""Figures that differ from what they follow from."""

from enum import IntEnum
from typing import NamedTuple

from progress_service.store.standings import BoardKey
from shared.periods import Window


class Kind(IntEnum):
    """What differs; the contract's numbers."""

    TOTAL = 1
    STANDING = 2
    LEVEL_PROGRESS = 3
    COURSE_PROGRESS = 4


class Mismatch(NamedTuple):
    """A stored figure that differs. `metric` and what follows it name a board; `level_id` and
    `figure` are of progress at a level of the course, `figure` alone of progress in the course;
    what does not apply is empty, or 0.
    """

    kind: Kind
    user_id: str
    expected: int
    found: int
    metric: str = ""
    course_id: str = ""
    window: int = 0
    period: str = ""
    level_id: str = ""
    figure: str = ""

    @property
    def board(self) -> BoardKey | None:
        """The board; of a total that of all time, of progress None."""
        if self.kind in (Kind.LEVEL_PROGRESS, Kind.COURSE_PROGRESS):
            return None
        return BoardKey(self.metric, self.course_id, Window(self.window), self.period)


class WrongStanding(NamedTuple):
    """A standing that differs from what is numbered, and what is on its way to it.

    `pending`: the amounts of the user's entries for it that have no number yet; `being_reset`,
    `being_corrected`: such a change of the board, or of this standing, has none yet.
    """

    mismatch: Mismatch
    pending: int
    being_reset: bool
    being_corrected: bool

    @property
    def score(self) -> int:
        """What it must be once everything that is committed has a number."""
        return self.mismatch.expected + self.pending
