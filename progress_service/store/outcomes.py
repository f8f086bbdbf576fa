"""What is recorded, and what becomes of it."""

from dataclasses import dataclass
from typing import Any, NamedTuple

from progress_service.domain.award import Award
from progress_service.domain.ledger import Credit
from progress_service.domain.submission import Submission
from shared.errors import LaurelError

Command = Submission | Award


class Credited(NamedTuple):
    """One ledger entry that was written, for the log."""

    user_id: str
    entry_id: int
    credit: Credit
    request_id: str


@dataclass(frozen=True, slots=True)
class Recorded:
    """A command's stored answer (JSON), and whether it had been given before."""

    answer: dict[str, Any]
    replayed: bool
    credited: tuple[Credited, ...] = ()


Outcome = Recorded | LaurelError
