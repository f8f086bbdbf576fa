"""Promise 5 for pages of ledgers, attempts and learners: each goes on in the history that the one
before was of.

Such an answer states no position: what it listed last, and what was known of the head by then, tell
which history it was of.
"""

from typing import Any

from tests.faults.case import Case
from tests.faults.recording import Call
from tests.faults.timeline import Life
from tests.faults.verdict import RESTORE, Verdict


def check(case: Case, verdict: Verdict) -> None:
    """Looks for pages that go on from what the present history does not have."""
    for call in case.recorded.calls:
        if call.response is None or _given(case, call) is None:
            continue
        verdict.count(RESTORE, f"pages of {call.method}")
        if goes_back(case, call):
            about = f"{call.method} of {call.client} ({call.begun:.3f} s) for {call.request}"
            what = "a list of another history goes on"
            verdict.broken(RESTORE, what, call.ended, " ".join(about.split()))


def goes_back(case: Case, call: Call) -> bool:
    """Whether it is the page after one of a history that is gone: not to be answered at all."""
    given = _given(case, call)
    return given is not None and not any(
        goes_on(case, given, life) for life in _present(case, call)
    )


def goes_on(case: Case, given: Call, life: Life) -> bool:
    """Whether the page after the one that was given may be one of this life."""
    before = _present(case, given)
    if life in before:
        return True
    return _has_last(life, given) and any(
        case.head_before(one, given.begun) <= case.forks[_ordered(one, life)] for one in before
    )


def _given(case: Case, call: Call) -> Call | None:
    return case.list_pages.get(getattr(call.request, "page_token", ""))


def _present(case: Case, call: Call) -> list[Life]:
    return case.timeline.present(call.begun, call.ended)


def _ordered(one: Life, other: Life) -> tuple[int, int]:
    return min(one.number, other.number), max(one.number, other.number)


def _has_last(life: Life, given: Call) -> bool:
    """Whether the life has the row that was listed last, whoever's it is: an erased user's goes by
    a pseudonym. Of lists without numbers nothing is looked for.
    """
    match given.method:
        case "ListXpEntries":
            told = given.response.entries[-1]
            entry = life.entries.get(int(told.entry_id))
            return entry is not None and _entry(entry) == _entry(told)
        case "ListAttempts":
            told = given.response.attempts[-1]
            attempt = life.attempts.get(int(told.attempt_id))
            return attempt is not None and _attempt(attempt) == _attempt(told)
    return True


def _entry(one: Any) -> tuple[Any, ...]:
    return one.metric, one.amount, one.source, one.course_id, one.level_id


def _attempt(one: Any) -> tuple[Any, ...]:
    return one.level_id, one.correct_answers, one.total_questions
