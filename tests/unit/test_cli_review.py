import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from grpc import aio
from typer.testing import CliRunner

from shared.cli.main import app
from shared.errors import FailedPrecondition, LaurelError, NotFound, Unavailable
from shared.gen.laurel.progress.v1 import admin_pb2 as pb
from shared.gen.laurel.progress.v1 import admin_pb2_grpc
from shared.gen.laurel.progress.v1.progress_pb2 import Attempt
from tests.unit.cli_peer import abort_with, serving

NEXT_PAGE = "token-of-the-next-page"


def attempt(attempt_id: str, **fields: Any) -> Attempt:
    given: dict[str, Any] = {
        "user_id": "ann",
        "level_id": "l1",
        "correct_answers": 9,
        "total_questions": 10,
        "marks": 1_234,
        "time_spent": timedelta(milliseconds=1_500),
        "occurred_time": datetime(2026, 11, 20, 9, 30, tzinfo=UTC),
        "under_review": True,
        "reason": "min_time_spent",
    }
    return Attempt(attempt_id=attempt_id, **{**given, **fields})


class ReviewPeer(admin_pb2_grpc.ProgressAdminServiceServicer):
    """Has a queue of at most two pages, and fails the decisions that the test says."""

    page_size = 500

    def __init__(self, *queue: Attempt, **failures: LaurelError) -> None:
        self.queue = queue
        self.failures = failures
        self.requests: list[Any] = []

    async def ListFlaggedAttempts(
        self, request: pb.ListFlaggedAttemptsRequest, context: Any
    ) -> pb.ListFlaggedAttemptsResponse:
        self.requests.append(request)
        size = min(request.page_size, self.page_size)
        shown = self.queue[size:] if request.page_token else self.queue[:size]
        token = NEXT_PAGE if len(self.queue) > size and not request.page_token else ""
        return pb.ListFlaggedAttemptsResponse(attempts=shown, next_page_token=token)

    async def ResolveFlaggedAttempt(
        self,
        request: pb.ResolveFlaggedAttemptRequest,
        context: aio.ServicerContext[Any, Any],
    ) -> pb.ResolveFlaggedAttemptResponse:
        self.requests.append(request)
        failure = self.failures.get(f"a{request.attempt_id}")
        if failure is not None:
            await abort_with(context, failure)
        fate = {"under_review": False, "voided": not request.accept, "reason": request.reason}
        return pb.ResolveFlaggedAttemptResponse(attempt=attempt(request.attempt_id, **fate))


@contextmanager
def _peer(monkeypatch: pytest.MonkeyPatch, peer: ReviewPeer) -> Iterator[ReviewPeer]:
    def add(server: Any) -> None:
        admin_pb2_grpc.add_ProgressAdminServiceServicer_to_server(peer, server)

    with serving(add) as address:
        monkeypatch.setenv("LAUREL_PROGRESS_ADDRESS", address)
        yield peer


def test_the_queue_is_shown_with_what_each_attempt_is_held_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    queue = [attempt("17"), attempt("18", user_id="bob\n[red]", reason="xp_per_day")]
    with _peer(monkeypatch, ReviewPeer(*queue)):
        result = CliRunner().invoke(app, ["review"])
    assert result.exit_code == 0, result.stderr
    first, second = [line for line in result.stdout.splitlines() if "l1" in line]
    for text in (
        "17",
        "ann",
        "9/10",
        "1,234",
        "1.5 s",
        "2026-11-20 09:30:00 UTC",
        "min_time_spent",
    ):
        assert text in first
    for text in ("18", "bob [red]", "xp_per_day", "under review"):
        assert text in second
    assert "next page" not in result.stdout


def test_an_empty_queue_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    with _peer(monkeypatch, ReviewPeer()):
        result = CliRunner().invoke(app, ["review"])
    assert (result.exit_code, result.stdout) == (0, "No attempt is under review.\n")


def test_the_queue_goes_on_where_a_page_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    with _peer(monkeypatch, ReviewPeer(attempt("17"), attempt("18"))) as peer:
        first = CliRunner().invoke(app, ["review", "--limit", "1"])
        CliRunner().invoke(app, ["review", "--limit", "1", "--after", NEXT_PAGE])
    assert first.stdout.endswith(f"next page: --after {NEXT_PAGE}\n")
    assert peer.requests == [
        pb.ListFlaggedAttemptsRequest(page_size=1),
        pb.ListFlaggedAttemptsRequest(page_size=1, page_token=NEXT_PAGE),
    ]


def test_the_queue_as_json_is_the_contracts_message(monkeypatch: pytest.MonkeyPatch) -> None:
    with _peer(monkeypatch, ReviewPeer(attempt("17"))):
        result = CliRunner().invoke(app, ["review", "--json"])
    document = json.loads(result.stdout)
    (found,) = document["attempts"]
    assert (found["attempt_id"], found["under_review"], found["marks"]) == ("17", True, "1234")
    assert document["next_page_token"] == ""


@pytest.mark.parametrize(("word", "state"), [("accept", "accepted"), ("reject", "voided")])
def test_a_decision_is_sent_for_each_attempt_and_shown(
    monkeypatch: pytest.MonkeyPatch, word: str, state: str
) -> None:
    with _peer(monkeypatch, ReviewPeer()) as peer:
        result = CliRunner().invoke(app, ["review", word, "17", "18", "--reason", "seen"])
    assert result.exit_code == 0, result.stderr
    assert peer.requests == [
        pb.ResolveFlaggedAttemptRequest(attempt_id=one, accept=word == "accept", reason="seen")
        for one in ("17", "18")
    ]
    rows = [line for line in result.stdout.splitlines() if "l1" in line]
    assert len(rows) == 2
    assert all(state in row and "seen" in row for row in rows)


def test_one_that_is_refused_does_not_hold_up_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    decided = FailedPrecondition("NOT_UNDER_REVIEW", "The attempt waits for no decision.")
    unknown = NotFound("ATTEMPT_NOT_FOUND", "No such attempt.")
    with _peer(monkeypatch, ReviewPeer(a1=decided, a3=unknown)):
        result = CliRunner().invoke(app, ["review", "accept", "1", "2", "3", "--json"])
    assert result.exit_code == 1
    assert result.stderr == (
        "laurel: attempt 1: FAILED_PRECONDITION (NOT_UNDER_REVIEW): The attempt waits for no "
        "decision.\nlaurel: attempt 3: NOT_FOUND (ATTEMPT_NOT_FOUND): No such attempt.\n"
    )
    document = json.loads(result.stdout)
    assert [one["attempt_id"] for one in document["attempts"]] == ["2"]
    assert [(one["attempt_id"], one["reason"]) for one in document["refused"]] == [
        ("1", "NOT_UNDER_REVIEW"),
        ("3", "ATTEMPT_NOT_FOUND"),
    ]


def test_a_service_that_fails_ends_it_and_what_was_decided_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    draining = Unavailable("DRAINING", "The server stops.")
    with _peer(monkeypatch, ReviewPeer(a2=draining)) as peer:
        result = CliRunner().invoke(app, ["review", "accept", "1", "2", "3"])
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == (
        "laurel: UNAVAILABLE (DRAINING): The server stops. Decided on before that: 1\n"
    )
    assert len(peer.requests) == 2


def test_the_queue_of_a_user_a_course_or_a_level_is_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with _peer(monkeypatch, ReviewPeer()) as peer:
        CliRunner().invoke(app, ["review", "--user", "ann", "--course", "c", "--level", "l1"])
    assert peer.requests == [
        pb.ListFlaggedAttemptsRequest(page_size=50, user_id="ann", course_id="c", level_id="l1")
    ]


@pytest.mark.parametrize(("word", "done"), [("accept", "accepted"), ("reject", "rejected")])
def test_all_that_wait_of_a_user_are_decided_on_page_by_page(
    monkeypatch: pytest.MonkeyPatch, word: str, done: str
) -> None:
    peer = ReviewPeer(*(attempt(str(n)) for n in (17, 18, 19)))
    peer.page_size = 2
    with _peer(monkeypatch, peer):
        result = CliRunner().invoke(app, ["review", word, "--user", "ann", "--reason", "seen"])
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.endswith(f"attempts {done}: 3\n")
    page = pb.ListFlaggedAttemptsRequest(page_size=500, user_id="ann")
    rest = pb.ListFlaggedAttemptsRequest(page_size=500, user_id="ann", page_token=NEXT_PAGE)
    accept = word == "accept"
    first, second, third = (
        pb.ResolveFlaggedAttemptRequest(attempt_id=one, accept=accept, reason="seen")
        for one in ("17", "18", "19")
    )
    assert peer.requests == [page, first, second, rest, third]


def test_one_whom_another_has_decided_on_does_not_hold_up_the_rest_of_a_level(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    decided = FailedPrecondition("NOT_UNDER_REVIEW", "The attempt waits for no decision.")
    with _peer(monkeypatch, ReviewPeer(attempt("1"), attempt("2"), a1=decided)) as peer:
        result = CliRunner().invoke(app, ["review", "accept", "--level", "l1"])
    assert result.exit_code == 1
    assert result.stdout.endswith("attempts accepted: 1\n")
    assert "attempt 1: FAILED_PRECONDITION (NOT_UNDER_REVIEW)" in result.stderr
    assert peer.requests[0].level_id == "l1"


def test_where_nothing_waits_nothing_is_decided(monkeypatch: pytest.MonkeyPatch) -> None:
    with _peer(monkeypatch, ReviewPeer()):
        result = CliRunner().invoke(app, ["review", "reject", "--course", "c", "--reason", "x"])
    assert (result.exit_code, result.stdout) == (0, "attempts rejected: 0\n")


def test_of_many_that_were_decided_on_before_a_failure_their_number_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    queue = [attempt(str(n)) for n in range(1, 30)]
    with _peer(monkeypatch, ReviewPeer(*queue, a22=Unavailable("DRAINING", "It stops."))):
        result = CliRunner().invoke(app, ["review", "accept", "--user", "ann"])
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.endswith("Decided on before that: 21 attempts\n")


@pytest.mark.parametrize(
    "args",
    [
        ["accept"],
        ["reject", "17"],
        ["reject", "--reason", "x"],
        ["--limit", "0"],
        ["17"],
        ["accept", "17", "--user", "ann"],
        ["reject", "--user", "ann"],
        ["reject", "--user", "", "--level", "l1", "--reason", "x"],
        ["--user", ""],
        ["--user", "ann", "reject", "17", "--reason", "x"],
    ],
)
def test_wrong_usage_exits_2_and_calls_nobody(
    monkeypatch: pytest.MonkeyPatch, args: list[str]
) -> None:
    with _peer(monkeypatch, ReviewPeer(attempt("17"))) as peer:
        result = CliRunner().invoke(app, ["review", *args])
    assert (result.exit_code, result.stdout, peer.requests) == (2, "", [])
