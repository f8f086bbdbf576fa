"""Promise 5 for pages of ledgers: each goes on in the history that the one before was of.

Such an answer states no position: what it listed last, and what was known of the head by then, tell
which history it was of.
"""

from typing import Any

from tests.faults.case import Case
from tests.faults.recording import Call, Entry
from tests.faults.timeline import Life
from tests.faults.verdict import RESTORE, Verdict


def check(case: Case, verdict: Verdict) -> None:
    """Looks for pages that go on from what the present history does not have."""
    for call in case.recorded.calls:
        given = case.ledger_pages.get(getattr(call.request, "page_token", ""))
        if given is None or call.response is None:
            continue
        verdict.count(RESTORE, "pages of ledgers")
        if not any(goes_on(case, given, life) for life in _present(case, call)):
            about = f"{call.method} of {call.client} ({call.begun:.3f} s) for {call.request}"
            what = "a page token of another history is honoured"
            verdict.broken(RESTORE, what, call.ended, " ".join(about.split()))


def goes_on(case: Case, given: Call, life: Life) -> bool:
    """Whether the page after the one that was given may be one of this life."""
    before = _present(case, given)
    if life in before:
        return True
    last = given.response.entries[-1]
    entry = life.entries.get(int(last.entry_id))
    if entry is None or not _same(entry, last):
        return False
    forks = {(one.number, other.number): at for one, other, at in case.timeline.forks()}
    return any(
        case.head_before(one, given.begun) <= forks[min(pair), max(pair)]
        for one in before
        for pair in [(one.number, life.number)]
    )


def _present(case: Case, call: Call) -> list[Life]:
    return case.timeline.present(call.begun, call.ended)


def _same(entry: Entry, told: Any) -> bool:
    """Whoever's it is: an erased user's entry goes by a pseudonym."""
    counted = (entry.metric, entry.amount, entry.source, entry.course_id, entry.level_id)
    return counted == (told.metric, told.amount, told.source, told.course_id, told.level_id)
