"""Lists that were begun before a restore: those of a lost history end with it, others do not."""

from typing import Any

import pytest

from shared.gen.laurel.progress.v1 import progress_pb2 as pb
from tests.faults.fabricated import Told, a_run
from tests.faults.judging import judge
from tests.faults.recording import Call
from tests.faults.verdict import RESTORE

_REFUSED = "INVALID_ARGUMENT/INVALID_PAGE_TOKEN"


def _broken(told: Told) -> set[str]:
    return {violation.promise for violation in judge(told.recorded).violations}


def _attempts(told: Told, token: str = "", before: int = 10_000) -> Call:
    """A page of one of all attempts at the level."""
    older = [one for one in reversed(told.branch.attempts) if one.attempt_id < before]
    answer = pb.ListAttemptsResponse(
        attempts=[
            pb.Attempt(
                attempt_id=str(one.attempt_id),
                user_id=one.user_id,
                level_id=one.level_id,
                correct_answers=one.correct_answers,
                total_questions=one.total_questions,
            )
            for one in older[:1]
        ],
        next_page_token=f"attempts-{told.now:g}",
    )
    request = pb.ListAttemptsRequest(level_id="c1", page_size=1, page_token=token)
    return told.call("ListAttempts", request, answer)


def _learners(told: Told, token: str = "", _before: int = 0) -> Call:
    answer = pb.ListCourseProgressResponse(
        learners=[pb.LearnerProgress(user_id="ann")], next_page_token=f"learners-{told.now:g}"
    )
    request = pb.ListCourseProgressRequest(course_id="c", page_size=1, page_token=token)
    return told.call("ListCourseProgress", request, answer)


def _entries(told: Told, token: str = "", before: int = 10_000) -> Call:
    return told.ledger("ann", size=1, token=token, before=before)


LISTS = {"entries": _entries, "attempts": _attempts, "learners": _learners}


def _last(page: Call) -> int:
    """The number after which it goes on."""
    match page.response:
        case pb.ListXpEntriesResponse():
            return int(page.response.entries[-1].entry_id)
        case pb.ListAttemptsResponse():
            return int(page.response.attempts[-1].attempt_id)
    return 0


def _restored(kind: str, *, beyond: bool) -> tuple[Told, Call]:
    """A run with a restore, and a first page, of what is lost or of what is kept."""
    told = a_run()
    for number in (1, 2):
        told.award("ann", number, f"a{number}")
        told.submit("ann", f"c{number}", f"s{number}")
    page = LISTS[kind](told)
    copy = told.copy()
    told.award("ann", 3, "a3")
    told.submit("ann", "c3", "s3")
    told.top()
    if beyond:
        told.now += 1
        page = LISTS[kind](told)
    head = told.position
    told.restore(copy, "e3")
    # Under the numbers of what is lost.
    told.award("ann", 4, "a4")
    told.submit("ann", "c4", "s4")
    told.watch(head, reason="FAILED_PRECONDITION/EPOCH_MISMATCH")
    told.calm()
    told.top()
    return told, page


def _refuse(told: Told, page: Call) -> None:
    """The next page is."""
    request: Any = type(page.request)()
    request.CopyFrom(page.request)
    request.page_token = page.response.next_page_token
    told.call(page.method, request, reason=_REFUSED)


@pytest.mark.parametrize("kind", LISTS)
def test_a_lost_list_does_not_go_on(kind: str) -> None:
    told, page = _restored(kind, beyond=True)
    _refuse(told, page)
    assert not _broken(told)
    LISTS[kind](told, page.response.next_page_token, _last(page))
    assert _broken(told) == {RESTORE}


@pytest.mark.parametrize("kind", LISTS)
def test_a_kept_list_goes_on(kind: str) -> None:
    told, page = _restored(kind, beyond=False)
    LISTS[kind](told, page.response.next_page_token, _last(page))
    assert not _broken(told)
    _refuse(told, page)
    assert _broken(told) == {RESTORE}
