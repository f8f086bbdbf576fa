"""Reads what a run left behind, and says which promises it broke."""

from collections.abc import Callable

from tests.faults.case import Case
from tests.faults.recording import Recorded
from tests.faults.validators import (
    acknowledgements,
    answers,
    bounds,
    ledger,
    numbering,
    people,
    reads_of_writes,
    restores,
    snapshots,
    watchers,
)
from tests.faults.verdict import (
    ANSWERS,
    BOUNDS,
    CONSISTENCY,
    ERRORS,
    EXACTLY_ONCE,
    LAG,
    PROMISES,
    REDIS,
    RESTORE,
    WATCHERS,
    Verdict,
    Violation,
)

VALIDATORS: tuple[Callable[[Case, Verdict], None], ...] = (
    ledger.check,
    acknowledgements.check,
    numbering.check,
    people.check,
    answers.check,
    snapshots.check,
    watchers.check,
    restores.check,
    reads_of_writes.check,
    bounds.check,
)
_ALWAYS = (
    (EXACTLY_ONCE, "AwardXp acknowledged"),
    (EXACTLY_ONCE, "VerifyLedger"),
    (ANSWERS, "VerifyBoards"),
    (WATCHERS, "changes"),
    (CONSISTENCY, "reads with a token"),
    (BOUNDS, "samples of memory"),
    (ERRORS, "errors"),
    (LAG, "catching up"),
)
"""What every run has, and how it is counted."""


def judge(recorded: Recorded) -> Verdict:
    """What is wrong with the run, and how much was looked at; a bad history never raises."""
    verdict = Verdict()
    if not recorded.branches:
        verdict.empty.append("what PostgreSQL held")
        return verdict
    case = Case(recorded)
    for validate in VALIDATORS:
        validate(case, verdict)
    _check_whether_it_proves_anything(case, verdict)
    verdict.violations.sort(key=lambda one: one.at)
    return verdict


def _check_whether_it_proves_anything(case: Case, verdict: Verdict) -> None:
    checked = verdict.checked
    missing = [promise for promise, what in _ALWAYS if not checked[promise][what]]
    if not any(answers.OF_BOARDS in what for what in (*checked[ANSWERS], *checked[REDIS])):
        missing.append(ANSWERS)
    if case.redis_troubled_at is not None and not checked[REDIS]:
        missing.append(REDIS)
    if checked[RESTORE][restores.UNDONE] and not checked[RESTORE][restores.REFUSED]:
        missing.append(RESTORE)
    broken = {violation.promise for violation in verdict.violations}
    verdict.empty += [one for one in dict.fromkeys(missing) if one not in broken]


__all__ = ["PROMISES", "Verdict", "Violation", "judge"]
