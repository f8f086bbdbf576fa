"""Promise 5: after PostgreSQL was restored to the past nothing from beyond that point is honoured:
no position, no page token, no consistency token; and what PostgreSQL answers is of its own present.
"""

from shared.gen.laurel.types.v1 import types_pb2
from tests.faults.case import Case
from tests.faults.claims import Claim
from tests.faults.recording import Call, Stream
from tests.faults.standing import spelled_out
from tests.faults.timeline import Life
from tests.faults.validators import list_pages, snapshots, watchers
from tests.faults.verdict import RESTORE, Verdict

REFUSED = "refused since a restore"
UNDONE = "given and undone by a restore"
_REFUSED = {"EPOCH_MISMATCH", "INVALID_PAGE_TOKEN"}


def check(case: Case, verdict: Verdict) -> None:
    """Looks for whatever was answered to something that the present history does not know."""
    _check_forks(case, verdict)
    for claim in case.claims:
        _check_present(case, claim, verdict)
        _check_page(case, claim, verdict)
    for stream in case.recorded.streams:
        if stream.method == watchers.METHOD:
            _check_watch(case, stream, verdict)
        elif stream.method == snapshots.METHOD:
            _check_snapshot(case, stream, verdict)
    _count_undone(case, verdict)
    _check_refusals(case, verdict)


def _count_undone(case: Case, verdict: Verdict) -> None:
    """Positions that were stated and that there are no more: if there are any, they are to be
    offered again.
    """
    for claim in case.claims:
        lives = case.timeline.holding(claim.position)
        if lives and case.timeline.last not in lives:
            verdict.count(RESTORE, UNDONE)


def _check_forks(case: Case, verdict: Verdict) -> None:
    """A position means one thing, in whatever life it is a point."""
    for one, other, last in case.timeline.forks():
        verdict.count(RESTORE, "lives compared")
        if one.changes[:last] != other.changes[:last]:
            text = f"lives {one.number} and {other.number} differ below {last}, in one epoch"
            verdict.broken(RESTORE, "one position in two histories", other.begun, text)


def _check_present(case: Case, claim: Claim, verdict: Verdict) -> None:
    """What PostgreSQL answers is of a life that it was in during the call; Redis may lag behind,
    and is never ahead.
    """
    holding = case.timeline.holding(claim.position)
    if not holding or not case.has_restore:
        return
    began = claim.begun if claim.from_postgresql else 0.0
    verdict.count(RESTORE, "answers of the present")
    if not any(life.overlaps(began, claim.ended) for life in holding):
        verdict.broken(RESTORE, "an answer of another history", claim.ended, str(claim))


def _check_page(case: Case, claim: Claim, verdict: Verdict) -> None:
    token = getattr(claim.asked.request, "page_token", "")
    given = case.pages.get(token)
    if given is None:
        return
    verdict.count(RESTORE, "pages")
    lives = case.timeline.holding(claim.position)
    if lives and not any(life.holds(one) for life in lives for one in given.positions):
        flat = sorted({(one.epoch[:8], one.sequence) for one in given.positions})
        about = f"{claim}: the token was given at {flat}"
        verdict.broken(RESTORE, "a page token of another history is honoured", claim.ended, about)


def _check_watch(case: Case, stream: Stream, verdict: Verdict) -> None:
    """Each message goes on from a position that some life knows which PostgreSQL was in since."""
    position = stream.request.after
    for at, message in stream.messages:
        lives: list[Life] = case.timeline.present(stream.begun, at)
        verdict.count(RESTORE, "positions")
        if not any(life.holds(position) for life in lives):
            text = f"{stream.client} at {at:.3f} s, after {position.epoch}:{position.sequence}"
            what = "a position of another history is honoured"
            verdict.broken(RESTORE, what, at, " ".join(text.split()))
            return
        position = message.through


def _check_snapshot(case: Case, stream: Stream, verdict: Verdict) -> None:
    """It is of a life that PostgreSQL was in since it was begun."""
    for at, message in stream.messages:
        if not case.has_restore or not message.HasField("position"):
            continue
        verdict.count(RESTORE, "positions of snapshots")
        present = case.timeline.present(stream.begun, at)
        if not any(life.holds(message.position) for life in present):
            text = f"{stream.client} ({stream.begun:.3f} s), at {message.position}"
            verdict.broken(RESTORE, "a snapshot of another history", at, " ".join(text.split()))
            return


def _check_refusals(case: Case, verdict: Verdict) -> None:
    """What is of the present history is taken; and after a restore something was offered at all
    that it had undone, and was refused.
    """
    made: list[Call | Stream] = [*case.recorded.calls, *case.recorded.streams]
    for one in made:
        if one.failure is None or one.failure.reason not in _REFUSED:
            continue
        present = case.timeline.present(one.begun, one.ended)
        if present and all(_is_given(case, one, life) for life in present):
            about = f"{one.method} of {one.client} ({one.begun:.3f} s): {one.failure.reason}"
            verdict.broken(RESTORE, "something of this history is refused", one.ended, about)
        if case.has_restore and _is_gone(case, one):
            verdict.count(RESTORE, f"refused since a restore: {one.method}")
            verdict.count(RESTORE, REFUSED)


def _is_given(case: Case, one: Call | Stream, life: Life) -> bool:
    """Whether the page token or the consistency token in it is of that life for sure."""
    token = getattr(one.request, "page_token", "")
    if listed := case.list_pages.get(token):
        return life.must_have(listed.begun, listed.ended)
    page = case.pages.get(token)
    if page is not None:
        # A board without a period is another one on another day, and a clock may jump.
        *_, window, period = spelled_out(one.request.board)
        named = bool(period) or window == types_pb2.WINDOW_ALL_TIME
        return named and all(life.holds(position) for position in page.positions)
    writes = case.writes.get(getattr(one.request, "consistency_token", ""), ())
    return bool(writes) and all(life.must_have(call.begun, call.ended) for call in writes)


def _is_gone(case: Case, one: Call | Stream) -> bool:
    """Whether what it refers to was given by an answer, and is not of the present history."""
    last = case.timeline.last
    if one.begun < last.begun:
        return False
    if one.method == watchers.METHOD:
        position = one.request.after
        return not last.holds(position) and bool(case.timeline.holding(position))
    token = getattr(one.request, "page_token", "")
    if listed := case.list_pages.get(token):
        return not list_pages.goes_on(case, listed, last)
    page = case.pages.get(token)
    if page is not None:
        return not any(last.holds(position) for position in page.positions)
    writes = case.writes.get(getattr(one.request, "consistency_token", ""), ())
    return bool(writes) and not any(last.must_have(call.begun, call.ended) for call in writes)
