"""Promise 1, in the history: each entry of the ledger is one change, and no change is without one;
resets, erasures and profiles that were acknowledged are changes too; corrections leave out the
boards that they must. And what the services' own verifications found wrong at the end.
"""

from collections import Counter
from typing import Any

from tests.faults.case import ERASE, Case
from tests.faults.recording import Call, Entry
from tests.faults.requests import requests_of
from tests.faults.timeline import Life
from tests.faults.verdict import ANSWERS, EXACTLY_ONCE, Verdict
from tests.history_fold import BoardName, boards_of, name_of

_VERIFICATIONS = {"VerifyLedger": EXACTLY_ONCE, "VerifyBoards": ANSWERS}


def check(case: Case, verdict: Verdict) -> None:
    """Compares ledger and history in each life, and looks for the special changes."""
    resets = requests_of(case.recorded.calls)["ResetWindow"]
    for life in case.timeline.lives:
        if not life.dense:
            about = f"life {life.number} goes on to {len(life.branch.changes)} changes"
            text = f"after {len(life.changes)} the next number is missing; {about}"
            verdict.broken(EXACTLY_ONCE, "numbering with a gap", life.branch.ended, text)
        _compare(life, verdict, settled=_is_settled(case, life))
        _check_corrections(life, verdict)
        known = {call.response.position.sequence for one in resets for call in one.claimed(life)}
        unasked = [
            change.sequence
            for change in life.changes
            if change.HasField("window_reset") and change.sequence not in known
        ]
        if len(unasked) > sum(1 for one in resets if one.is_open(life)):
            text = f"changes {unasked} in life {life.number}"
            verdict.broken(EXACTLY_ONCE, "a reset that nobody asked for", life.branch.ended, text)
    for call in case.recorded.calls:
        if call.response is not None and call.method in _RULES:
            _check_special(case, call, verdict)
    _check_verifications(case, verdict)


def _is_settled(case: Case, life: Life) -> bool:
    """Whether everything in it had its number when it ended."""
    return life is case.timeline.last and case.is_calm(life.ended)


def _compare(life: Life, verdict: Verdict, *, settled: bool) -> None:
    """Each entry has one change, when all have their numbers; each change has its entry."""
    changes: Counter[int] = Counter()
    for change in life.branch.changes:
        if not change.HasField("xp_delta"):
            continue
        delta = change.xp_delta
        entry = life.entries.get(int(delta.entry_id))
        changes[int(delta.entry_id)] += 1
        verdict.count(EXACTLY_ONCE, "changes of the ledger")
        if entry is None or not _same(entry, delta):
            text = f"change {change.sequence} in life {life.number} is {delta}, the entry {entry}"
            verdict.broken(EXACTLY_ONCE, "a change unlike its entry", life.branch.ended, text)
    for entry_id in life.entries:
        if changes[entry_id] > 1 or (settled and not changes[entry_id]):
            text = f"{life.entries[entry_id]} in life {life.number}: {changes[entry_id]} times"
            what = "an entry that is not numbered once"
            verdict.broken(EXACTLY_ONCE, what, life.branch.ended, text)


def _same(entry: Entry, delta: Any) -> bool:
    """An erased user's entry goes by a pseudonym; the history had it before under the name."""
    named = entry.user_id.startswith("~") or entry.user_id == delta.user_id
    windows = sum(1 << window for window in delta.windows)
    counts = (entry.metric, entry.amount, entry.course_id, entry.occurred_date, entry.windows)
    return named and counts == (
        delta.metric,
        delta.amount,
        delta.course_id,
        delta.occurred_date,
        windows,
    )


def _check_corrections(life: Life, verdict: Verdict) -> None:
    """What cancels or replaces an entry counts where that one does: not on boards that were reset
    since. The fold of the validators takes a change's word for it.
    """
    resets: dict[BoardName, int] = {}
    for change in life.changes:
        if change.HasField("window_reset"):
            resets[name_of(change.window_reset.board)] = change.sequence
        elif change.HasField("xp_delta"):
            wanted = _left_out(life, change.xp_delta, resets)
            found = {name_of(board) for board in change.xp_delta.excluded_boards}
            if wanted:
                verdict.count(EXACTLY_ONCE, "corrections after a reset")
            if found != wanted:
                text = f"change {change.sequence} in life {life.number} leaves out {found}"
                what = "a correction on the wrong boards"
                verdict.broken(
                    EXACTLY_ONCE, what, life.branch.ended, f"{text}, must leave out {wanted}"
                )


def _left_out(life: Life, delta: Any, resets: dict[BoardName, int]) -> set[BoardName]:
    entry = life.entries.get(int(delta.entry_id))
    if entry is None or entry.of_entry_id is None:
        return set()
    counted = life.sequence_of.get(entry.of_entry_id, 0)
    everywhere = type(delta)()
    everywhere.CopyFrom(delta)
    del everywhere.excluded_boards[:]
    return {board for board in boards_of(everywhere) if resets.get(board, 0) > counted}


def _check_special(case: Case, call: Call, verdict: Verdict) -> None:
    for life in case.timeline.lives:
        if not life.must_have(call.begun, call.ended):
            continue
        if call.method == "PutUser" and not _is_settled(case, life):
            continue
        verdict.count(EXACTLY_ONCE, f"{call.method} acknowledged")
        wrong = _RULES[call.method](life, call)
        if wrong:
            about = f"{call.method} of {call.client} {{{call.request}}}: {wrong}"
            what = "acknowledged, and not in the history"
            verdict.broken(EXACTLY_ONCE, what, call.ended, " ".join(about.split()))


def _at(life: Life, position: Any) -> Any:
    """The change at a position; None when that is no point of the life."""
    inside = life.holds(position) and 0 < position.sequence <= len(life.changes)
    return life.changes[position.sequence - 1] if inside else None


def _reset(life: Life, call: Call) -> str:
    change, asked = _at(life, call.response.position), call.request.board
    if change is None or not change.HasField("window_reset"):
        return f"at {call.response.position} is {change}"
    metric, course_id, window, period = name_of(change.window_reset.board)
    right = (asked.metric or "xp", asked.course_id, asked.window or 1, asked.period or period)
    return "" if right == (metric, course_id, window, period) else f"it is of {change.window_reset}"


def _erasure(life: Life, call: Call) -> str:
    change = _at(life, call.response.position)
    erased = change is not None and change.user_erasure.user_id
    return "" if erased == call.request.user_id else f"at {call.response.position} is {change}"


def _profile(life: Life, call: Call) -> str:
    """Without a token it was so before."""
    user = call.request.user
    wanted = (user.user_id, user.display_name, user.avatar_url, user.hidden)
    found = (change.profile_change for change in life.changes if change.HasField("profile_change"))
    if any(wanted == (one.user_id, one.display_name, one.avatar_url, one.hidden) for one in found):
        return ""
    return "there is no such profile in the history"


_RULES = {"ResetWindow": _reset, ERASE: _erasure, "PutUser": _profile}


def _check_verifications(case: Case, verdict: Verdict) -> None:
    for stream in case.recorded.streams:
        promise = _VERIFICATIONS.get(stream.method)
        if promise is None:
            continue
        if stream.messages and stream.failure is None and not stream.left:
            verdict.count(promise, stream.method)
        for at, message in stream.messages:
            for mismatch in message.mismatches:
                about = f"{stream.method}: {' '.join(str(mismatch).split())}"
                verdict.broken(promise, "a verification found a mismatch", at, about)
