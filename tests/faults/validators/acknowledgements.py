"""Promise 1: all answers to one request are the same answer, and its request id is kept.

After an erasure the id is free, and the same request is about someone new.
"""

from typing import Any

from tests.faults.case import Case
from tests.faults.recording import Call
from tests.faults.requests import Request, pairs, requests_of
from tests.faults.timeline import Life
from tests.faults.verdict import EXACTLY_ONCE, Verdict

_BY_ADMINISTRATORS = ("ResetWindow",)


def check(case: Case, verdict: Verdict) -> None:
    """Compares the answers to each request with each other, and with the ids that are kept."""
    requests = [one for group in requests_of(case.recorded.calls).values() for one in group]
    for life in case.timeline.lives:
        keys = {(key.user_id, key.request_id) for key in life.branch.keys}
        ids = {request_id for _, request_id in keys}
        for request in requests:
            _compare(case, life, request, verdict)
            _find_key(case, life, request, (keys, ids), verdict)


def _compare(case: Case, life: Life, request: Request, verdict: Verdict) -> None:
    if _may_be_anothers(case, life, request):
        return
    for one, other in pairs(request.acknowledged(life)):
        verdict.count(EXACTLY_ONCE, "answers repeated")
        if _without_replayed(one.response) != _without_replayed(other.response):
            about = f"{request}: {one.response} and {other.response}"
            verdict.broken(EXACTLY_ONCE, "two answers to one request", other.ended, about)
        if _is_first(one) and _is_first(other):
            about = f"{request}: neither is said to be a repetition"
            verdict.broken(EXACTLY_ONCE, "two first answers", other.ended, about)


def _find_key(
    case: Case,
    life: Life,
    request: Request,
    kept: tuple[set[tuple[str, str]], set[str]],
    verdict: Verdict,
) -> None:
    keys, ids = kept
    acknowledged = request.acknowledged(life)
    if not acknowledged or _may_be_anothers(case, life, request):
        return
    request_id = request.message.request_id
    user_id = getattr(request.message, "user_id", None)
    if request.method in _BY_ADMINISTRATORS:
        user_id = ""
    found = request_id in ids if user_id is None else (user_id, request_id) in keys
    verdict.count(EXACTLY_ONCE, "request ids kept")
    if not found:
        about = f"{request} in life {life.number}"
        verdict.broken(EXACTLY_ONCE, "a request id that is not kept", acknowledged[0].ended, about)


def _may_be_anothers(case: Case, life: Life, request: Request) -> bool:
    """Whether it is about someone who was erased at some time."""
    user_id = getattr(request.message, "user_id", "")
    if user_id:
        return user_id in case.erasures
    if not case.erasures or request.method in _BY_ADMINISTRATORS:
        return False
    owner = _owner(life, request.message)
    return owner is None or owner.startswith("~") or owner in case.erasures


def _owner(life: Life, message: Any) -> str | None:
    """Whose entry or attempt a correction is about."""
    if hasattr(message, "entry_id"):
        entry = life.entries.get(int(message.entry_id))
        return None if entry is None else entry.user_id
    of = (one.user_id for one in life.branch.attempts if str(one.attempt_id) == message.attempt_id)
    return next(of, None)


def _without_replayed(response: Any) -> Any:
    if not hasattr(response, "replayed"):
        return response
    copy = type(response)()
    copy.CopyFrom(response)
    copy.replayed = False
    return copy


def _is_first(call: Call) -> bool:
    return hasattr(call.response, "replayed") and not call.response.replayed
