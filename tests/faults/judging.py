"""Reads what a run left behind, and says which promises it broke."""

from collections.abc import Callable, Iterator

from tests.faults.case import Case
from tests.faults.recording import Act, Recorded
from tests.faults.validators import (
    acknowledgements,
    answers,
    bounds,
    ledger,
    list_pages,
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
    list_pages.check,
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
    (ERRORS, f"{bounds.PLANTED}CatalogService"),
    (ERRORS, f"{bounds.PLANTED}LeaderboardService"),
    (ERRORS, f"{bounds.PLANTED}ProgressService"),
    *((BOUNDS, reason) for reason in bounds.OF_BOUNDS),
    (RESTORE, "pages"),
)
"""What every run has, and how it is counted."""
_OF_FAULT = {
    "history.pruned": (
        (WATCHERS, f"{watchers.ENDED}HISTORY_TRUNCATED"),
        (WATCHERS, watchers.RECOVERED),
    ),
}
"""What a fault that is alone is for."""


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
    """What is missing, by promise, unless that one is broken anyway."""
    checked = verdict.checked
    missing = [one for one in (*_ALWAYS, *_due(case)) if not checked[one[0]][one[1]]]
    compared = [what for what in (*checked[ANSWERS], *checked[REDIS]) if answers.OF_BOARDS in what]
    kinds = ("Get", "Watch", "ListStandings")
    missing += [
        (ANSWERS, one) for one in kinds if not any(what.startswith(one) for what in compared)
    ]
    if case.redis_troubled_at is not None and not checked[REDIS]:
        missing.append((REDIS, "answers since"))
    if checked[RESTORE][restores.UNDONE] and not checked[RESTORE][restores.REFUSED]:
        missing.append((RESTORE, restores.REFUSED))
    broken = {violation.promise for violation in verdict.violations}
    verdict.empty += [f"{one}: {what}" for one, what in missing if one not in broken]
    verdict.empty += [f"{act.fault} of {act.target}" for act in _alone(case) if not act.effect]


def _due(case: Case) -> Iterator[tuple[str, str]]:
    """What the run's faults are for."""
    for act in _alone(case):
        yield from _OF_FAULT.get(act.fault, ())


def _alone(case: Case) -> list[Act]:
    """The faults beside which nothing else was broken: of others one may hide what another does."""
    acts = case.recorded.acts
    return [
        one
        for one in acts
        if not any(
            other.begun <= one.healed and one.begun <= other.healed
            for other in acts
            if other is not one
        )
    ]


__all__ = ["PROMISES", "Verdict", "Violation", "judge"]
