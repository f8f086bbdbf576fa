"""Promise 1: what was acknowledged is in the ledger, once; whatever is there was asked for.

Each life of the database is judged by itself: after a restore only what was acknowledged between
the copy and the restore may be missing. An erased user's entries go by a pseudonym.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from tests.faults.case import Case
from tests.faults.recording import Attempt, Entry
from tests.faults.requests import Request, requests_of
from tests.faults.timeline import Life
from tests.faults.verdict import EXACTLY_ONCE, Verdict

PSEUDONYM = "~"


def check(case: Case, verdict: Verdict) -> None:
    """Compares acknowledgements with the ledger, both ways, in each life."""
    requests = requests_of(case.recorded.calls)
    for life in case.timeline.lives:
        ledger = _Ledger(case, life, verdict)
        for award in requests["AwardXp"]:
            ledger.check_each(award, ledger.award)
        for submission in requests["SubmitProgress"]:
            ledger.check_each(submission, ledger.submission)
        for revocation in requests["RevokeXp"]:
            ledger.check_each(revocation, ledger.revocation)
        for withdrawal in requests["VoidAttempt"]:
            ledger.check_each(withdrawal, ledger.withdrawal)
        ledger.check_awards_were_asked_for(requests["AwardXp"])
        ledger.check_attempts_were_asked_for(requests["SubmitProgress"])


class _Ledger:
    """The ledger of one life, beside what was answered."""

    def __init__(self, case: Case, life: Life, verdict: Verdict) -> None:
        self._erasures = case.erasures
        self._life = life
        self._verdict = verdict
        self._attempts = {one.attempt_id: one for one in life.branch.attempts}
        self._of_attempt: dict[int, list[Entry]] = {}
        self._of_user: dict[tuple[str, str], list[Entry]] = {}
        for entry in life.branch.entries:
            self._of_user.setdefault((entry.user_id, entry.metric), []).append(entry)
            if entry.attempt_id is not None and entry.of_entry_id is None:
                self._of_attempt.setdefault(entry.attempt_id, []).append(entry)

    def check_each(self, request: Request, rule: Any) -> None:
        """Every acknowledgement that must be in this life."""
        for call in request.acknowledged(self._life):
            self._verdict.count(EXACTLY_ONCE, f"{request.method} acknowledged")
            wrong = rule(call.request, call.response)
            if wrong:
                self._broken("acknowledged, and not in the ledger", call.ended, request, wrong)

    def award(self, request: Any, response: Any) -> str:
        entry = self._life.entries.get(int(response.entry_id or 0))
        if entry is None:
            return f"there is no entry {response.entry_id}"
        if not self._is_whose(entry, request.user_id):
            return f"it is {entry.user_id}'s: {entry}"
        # An erasure takes the reference away.
        reference = "" if entry.user_id.startswith(PSEUDONYM) else request.reference
        asked = (request.metric or "xp", request.source, reference)
        if asked != (entry.metric, entry.source, entry.reference):
            return f"{entry}"
        if not response.amount_credited:
            return "" if request.reference else "nothing was credited, and there is no reference"
        if (entry.amount, entry.course_id) != (request.amount, request.course_id):
            return f"{entry}"
        return self._total(entry, response.total)

    def _total(self, entry: Entry, total: int) -> str:
        """An entry's total is the sum up to there."""
        if entry.user_id in self._erasures or entry.user_id.startswith(PSEUDONYM):
            return ""
        earlier = self._of_user[entry.user_id, entry.metric]
        summed = sum(one.amount for one in earlier if one.entry_id <= entry.entry_id)
        return "" if summed == total else f"the total is {total}, the ledger's {summed}"

    def submission(self, request: Any, response: Any) -> str:
        attempt = self._attempts.get(int(response.attempt_id or 0))
        if attempt is None:
            return f"there is no attempt {response.attempt_id}"
        asked = (request.level_id, request.correct_answers, request.total_questions)
        if asked != (attempt.level_id, attempt.correct_answers, attempt.total_questions):
            return f"{attempt}"
        if not self._is_whose(attempt, request.user_id):
            return f"it is {attempt.user_id}'s: {attempt}"
        paid = [one for one in self._of_attempt.get(attempt.attempt_id, ()) if one.metric == "xp"]
        earned = sum(entry.amount for entry in paid)
        if not response.under_review and earned != response.xp_earned:
            return f"it earned {response.xp_earned}, and the ledger has {paid}"
        return ""

    def revocation(self, request: Any, response: Any) -> str:
        entry = self._life.entries.get(int(response.entry_id or 0))
        if entry is None or entry.amount >= 0 or entry.of_entry_id != int(request.entry_id):
            return f"entry {response.entry_id} is {entry}"
        return ""

    def withdrawal(self, request: Any, _response: Any) -> str:
        attempt = self._attempts.get(int(request.attempt_id))
        return "" if attempt is not None and attempt.voided else f"{attempt}"

    def check_awards_were_asked_for(self, requests: Sequence[Request]) -> None:
        """Each award in the ledger is that of an answer; or of a request that had none, of which
        each stands for one.
        """
        told = self._told(requests, lambda call: int(call.response.entry_id or 0))
        unasked = Counter(
            self._shape(entry.user_id, entry.metric, entry.amount, entry.course_id)
            for entry in self._life.branch.entries
            if entry.attempt_id is None and entry.of_entry_id is None
            if entry.source != "level" and entry.entry_id not in told
        )
        for request in requests:
            one = request.message
            shape = self._shape(one.user_id, one.metric or "xp", one.amount, one.course_id)
            unasked[shape] -= self._untold(request)
        self._report(unasked, "an award that nobody asked for")

    def check_attempts_were_asked_for(self, requests: Sequence[Request]) -> None:
        """The same of attempts; and a request id has one attempt."""
        told = self._told(requests, lambda call: int(call.response.attempt_id or 0))
        unasked = Counter(
            self._shape(one.user_id, one.level_id, one.correct_answers, one.total_questions)
            for one in self._life.branch.attempts
            if one.attempt_id not in told
        )
        for request in requests:
            one = request.message
            shape = self._shape(one.user_id, one.level_id, one.correct_answers, one.total_questions)
            unasked[shape] -= self._untold(request)
        self._report(unasked, "an attempt that nobody made")
        ids = Counter(
            (one.user_id, one.request_id) for one in self._life.branch.attempts if one.request_id
        )
        self._verdict.count(EXACTLY_ONCE, "request ids of attempts", len(ids))
        self._report(Counter({key: n - 1 for key, n in ids.items()}), "a request with two attempts")

    def _told(self, requests: Sequence[Request], id_of: Any) -> set[int]:
        """The ids in all answers that can be of this life."""
        return {id_of(call) for one in requests for call in one.claimed(self._life)}

    def _untold(self, request: Request) -> int:
        """How many effects it may have had of which no answer tells: one while it is not answered
        for sure, and one for each life of a user who was erased and came back.
        """
        if not request.is_open(self._life):
            return 0
        answered = bool(request.acknowledged(self._life))
        lives = len(self._erasures.get(request.message.user_id, ()))
        return lives + (0 if answered else 1)

    def _shape(self, user_id: str, *rest: object) -> tuple[object, ...]:
        """Of users who were erased all go by one name."""
        erased = user_id in self._erasures or user_id.startswith(PSEUDONYM)
        return (PSEUDONYM if erased else user_id, *rest)

    def _is_whose(self, one: Entry | Attempt, user_id: str) -> bool:
        pseudonym = one.user_id.startswith(PSEUDONYM) and user_id in self._erasures
        return pseudonym or one.user_id == user_id

    def _report(self, unasked: Counter[Any], what: str) -> None:
        for shape, number in unasked.items():
            if number > 0:
                text = f"{number} too many of {shape} in life {self._life.number}"
                self._verdict.broken(EXACTLY_ONCE, what, self._life.branch.ended, text)

    def _broken(self, what: str, at: float, request: Request, text: str) -> None:
        about = f"{request}: {text} in life {self._life.number}"
        self._verdict.broken(EXACTLY_ONCE, what, at, about)
