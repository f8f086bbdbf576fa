"""Promise 6: an answer to a consistency token includes the write that gave the token; and promise 5
for these tokens: none is honoured in a history that lost the write.
"""

import base64
import json
from collections.abc import Callable

from tests.faults.case import Case
from tests.faults.claims import Claim
from tests.faults.recording import Call
from tests.faults.timeline import Life
from tests.faults.verdict import CONSISTENCY, RESTORE, Verdict

_TAG_BYTES = 16


def check(case: Case, verdict: Verdict) -> None:
    """Compares each answer's position with that of the write."""
    writes = case.writes
    for claim in case.claims:
        token = getattr(claim.asked.request, "consistency_token", "")
        if not token:
            continue
        if token not in writes:
            verdict.broken(CONSISTENCY, "a token of no write is honoured", claim.ended, str(claim))
            continue
        verdict.count(CONSISTENCY, "reads with a token")
        _compare(case, claim, writes[token], verdict)


def _compare(case: Case, claim: Claim, calls: list[Call], verdict: Verdict) -> None:
    places: list[int] = []
    lives = case.timeline.holding(claim.position)
    for life in lives:
        for call in calls:
            if life.may_have(call.begun, call.ended):
                place = _WRITES[call.method](case, life, call)
                places += [] if place is None else [place]
    request = " ".join(str(calls[0].request).split())
    about = f"{claim}: the write is {calls[0].method} {{{request}}}, at {sorted(set(places))}"
    if not places and lives and _is_past_judging(case, claim, calls[0]):
        verdict.count(RESTORE, "tokens of profiles that are answered with the head")
    elif not places and lives:
        verdict.broken(RESTORE, "a token of a lost write is honoured", claim.ended, about)
    elif places and claim.position.sequence < min(places):
        verdict.broken(CONSISTENCY, "an answer lacks the write", claim.ended, about)


def _is_past_judging(case: Case, claim: Claim, write: Call) -> bool:
    """Of a profile's change that is pruned or redacted the service has only the id to go by, which
    is given out again after a restore: then the head is right.
    """
    if write.method != "PutUser":
        return False
    lives = case.timeline.holding(claim.position)
    since = min(life.begun for life in lives)
    erasures = (call for calls in case.erasures.values() for call in calls)
    gone = any(act.fault.startswith("history.") for act in case.recorded.acts) or any(
        since <= call.ended and call.begun <= claim.ended for call in erasures
    )
    return gone and claim.position.sequence >= min(
        case.head_before(life, claim.begun) for life in lives
    )


def _last(life: Life, entry_ids: list[int]) -> int | None:
    """Where the last of these entries stands; None when one of them is not in the history."""
    places = [life.sequence_of.get(entry_id) for entry_id in entry_ids]
    found = [place for place in places if place is not None]
    return max(found) if found and len(found) == len(places) else None


def _award(_: Case, life: Life, call: Call) -> int | None:
    entry = life.entries.get(int(call.response.entry_id))
    asked = (call.request.metric or "xp", call.request.amount)
    same = entry is not None and (entry.metric, entry.amount) == asked
    return _last(life, [int(call.response.entry_id)]) if same else None


def _submission(_: Case, life: Life, call: Call) -> int | None:
    attempt_id = int(call.response.attempt_id)
    own = [
        entry.entry_id
        for entry in life.branch.entries
        if entry.attempt_id == attempt_id and entry.of_entry_id is None
        if entry.level_id == call.request.level_id
    ]
    return _last(life, own)


def _revocation(_: Case, life: Life, call: Call) -> int | None:
    entry = life.entries.get(int(call.response.entry_id))
    same = entry is not None and entry.of_entry_id == int(call.request.entry_id)
    return _last(life, [int(call.response.entry_id)]) if same else None


def _withdrawal(_: Case, life: Life, call: Call) -> int | None:
    """The answer does not name the entries, so the token itself must."""
    token = call.response.consistency_token
    signed = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
    _, entry_id, *_ = json.loads(signed[_TAG_BYTES:])
    entry = life.entries.get(entry_id)
    return _last(life, [entry_id]) if entry is not None and entry.of_entry_id else None


def _profile(case: Case, life: Life, call: Call) -> int | None:
    """The first such change that can be of this call: one after all that was known before it."""
    user = call.request.user
    wanted = (user.user_id, user.display_name, user.avatar_url, user.hidden)
    known = case.head_before(life, call.begun)
    for change in life.changes[known:]:
        one = change.profile_change
        if change.HasField("profile_change") and wanted == (
            one.user_id,
            one.display_name,
            one.avatar_url,
            one.hidden,
        ):
            return int(change.sequence)
    return None


_WRITES: dict[str, Callable[[Case, Life, Call], int | None]] = {
    "AwardXp": _award,
    "SubmitProgress": _submission,
    "RevokeXp": _revocation,
    "VoidAttempt": _withdrawal,
    "PutUser": _profile,
}
