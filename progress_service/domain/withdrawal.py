"""Withdrawing an attempt: the level judged again without it, and what that takes back.

References: regrading in Open edX and Canvas judges from the attempts that remain. The ledger
is immutable, so what an attempt earned is cancelled entry by entry.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum, auto
from typing import NamedTuple

from progress_service.domain.course import Level
from progress_service.domain.ledger import MARKS, XP
from progress_service.domain.scoring import is_pass
from progress_service.domain.submission import LevelState


class Attempt(NamedTuple):
    """An attempt that counts. `passed`: by the version that it was judged against."""

    attempt_id: int
    correct_answers: int
    total_questions: int
    marks: int
    time_spent_ms: int
    passed: bool
    time: datetime


class Fate(Enum):
    """What has become of an entry: a revocation cancelled it, or an earlier withdrawal."""

    COUNTS = auto()
    REVOKED = auto()
    WITHDRAWN = auto()


class Paid(NamedTuple):
    """An entry that the level paid. `top`: of marks, those of the attempt that it was paid for:
    the entry stands for the marks from `top - amount` to `top`.
    """

    entry_id: int
    metric: str
    amount: int
    fate: Fate
    top: int = 0


@dataclass(frozen=True, slots=True)
class Withdrawal:
    """What remains of a level: written whole or not at all.

    `level`: without attempts when none remains. `passes_now`: attempts that have passed from now
    on. `cancelled`: newest first. `marks_again`: what the attempt `best` is credited with anew,
    a part of what `replaced` was. `reward_open`: the level may pay its reward again.
    """

    level: LevelState
    passes_now: tuple[int, ...]
    cancelled: tuple[Paid, ...]
    best: Attempt | None
    marks_again: int
    replaced: Paid | None
    reward_open: bool


def withdraw(level: Level | None, remaining: Sequence[Attempt], paid: Sequence[Paid]) -> Withdrawal:
    """Judges a level from the attempts that remain, in their order of arrival.

    `level` None: the course has dropped it, and an attempt passes if it did then. `paid`: all
    that the level ever paid the learner, oldest first.

    The level is completed by the first attempt that passed when it arrived or passes now. What
    passes now has then passed for good, whatever the course becomes. If no attempt passes, the
    reward is cancelled, and open to be earned again unless a part of it was revoked: what was
    revoked is never paid again. Of the marks, what lies above the best that remains is cancelled.
    What was revoked of those below stays so.
    """
    passing = next((one for one in remaining if _passes(one, level)), None)
    best = max(remaining, key=lambda one: one.marks, default=None)
    best_marks = best.marks if best else 0
    counting = [one for one in paid if one.fate is Fate.COUNTS]
    above = [one for one in counting if one.metric == MARKS and one.top > best_marks]
    reward = [one for one in counting if one.metric != MARKS]
    # What entries stand for is disjoint, so at most one of them reaches below the best.
    replaced = next((one for one in above if one.top - one.amount < best_marks), None)
    lost = [] if passing else reward
    kept_xp = sum(one.amount for one in reward if one.metric == XP) if passing else 0
    return Withdrawal(
        level=LevelState(
            best_marks=best_marks,
            attempts=len(remaining),
            time_spent_ms=sum(one.time_spent_ms for one in remaining),
            complete_time=passing.time if passing else None,
            xp_earned=kept_xp,
            best_ratio=max((o.correct_answers / o.total_questions for o in remaining), default=0.0),
        ),
        passes_now=_pass_now(remaining, level) if passing and not passing.passed else (),
        cancelled=tuple(sorted([*above, *lost], key=lambda one: one.entry_id, reverse=True)),
        best=best,
        marks_again=best_marks - (replaced.top - replaced.amount) if replaced else 0,
        replaced=replaced,
        reward_open=passing is None
        and not any(one.fate is Fate.REVOKED and one.metric != MARKS for one in paid),
    )


def _pass_now(remaining: Sequence[Attempt], level: Level | None) -> tuple[int, ...]:
    return tuple(one.attempt_id for one in remaining if _reaches(one, level))


def _passes(attempt: Attempt, level: Level | None) -> bool:
    return attempt.passed or _reaches(attempt, level)


def _reaches(attempt: Attempt, level: Level | None) -> bool:
    return level is not None and is_pass(
        attempt.correct_answers, attempt.total_questions, level.pass_ratio
    )
