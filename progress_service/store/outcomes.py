"""What is recorded, and what becomes of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from progress_service.domain.award import Award
from progress_service.domain.ledger import Credit
from progress_service.domain.submission import Submission
from progress_service.domain.write_mark import WriteMark, entry_mark
from shared.errors import LaurelError

Command = Submission | Award
_MARK = "mark"


class Credited(NamedTuple):
    """One ledger entry that was written, for the log."""

    user_id: str
    entry_id: int
    credit: Credit
    request_id: str


@dataclass(frozen=True, slots=True)
class Recorded:
    """A command's stored answer (JSON), and whether it had been given before. `held`: the bound for
    which the attempt has been put under review.
    """

    answer: dict[str, Any]
    replayed: bool
    credited: tuple[Credited, ...] = ()
    held: str = ""

    @property
    def mark(self) -> WriteMark | None:
        """What stands for the write in a consistency token; None when nothing was credited."""
        stored = self.answer.get(_MARK)
        return WriteMark(*stored) if stored else None


def add_mark(answer: dict[str, Any], credited: Sequence[Credited], written: datetime) -> None:
    """Keeps the mark of the last entry with the answer, for replays; `written`: the time of the
    transaction.
    """
    if credited:
        last = credited[-1]
        mark = entry_mark(last.entry_id, last.credit.metric, last.credit.amount, written)
        answer[_MARK] = [*mark]


Outcome = Recorded | LaurelError
