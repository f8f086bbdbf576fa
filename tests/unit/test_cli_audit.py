import asyncio
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest
from grpc import aio
from typer.testing import CliRunner, Result

from shared.cli.main import app
from shared.errors import FailedPrecondition, LaurelError, ResourceExhausted
from shared.gen.laurel.progress.v1 import admin_pb2 as pb
from shared.gen.laurel.progress.v1 import admin_pb2_grpc
from shared.gen.laurel.types.v1 import types_pb2
from tests.unit.cli_peer import abort_with, serving

POSITION = types_pb2.Position(epoch="e", sequence=1_234)
WEEK = types_pb2.Board(metric="xp", course_id="c", window=types_pb2.WINDOW_WEEK, period="2026-W47")
WRONG = [
    pb.Mismatch(
        board=types_pb2.Board(metric="marks", window=types_pb2.WINDOW_ALL_TIME),
        user_id="ann",
        expected=1_000,
        found=7,
        kind=pb.MISMATCH_KIND_TOTAL,
    ),
    pb.Mismatch(board=WEEK, user_id="bob\n[red]", expected=5, kind=pb.MISMATCH_KIND_STANDING),
    pb.Mismatch(
        user_id="cyd",
        expected=1,
        kind=pb.MISMATCH_KIND_LEVEL_PROGRESS,
        course_id="c",
        level_id="l1",
        figure="completed",
    ),
    pb.Mismatch(
        user_id="cyd",
        found=3,
        kind=pb.MISMATCH_KIND_COURSE_PROGRESS,
        course_id="c",
        figure="marks",
    ),
]
UPDATE = pb.TotalUpdate(
    user_id="ann", display_name="Ann\tA", metric="xp", old_total=87, new_total=80
)


class AuditPeer(admin_pb2_grpc.ProgressAdminServiceServicer):
    """Answers what the test has written down, then fails if the test says so."""

    def __init__(self, answers: Sequence[Any], failure: LaurelError | None = None) -> None:
        self.answers = answers
        self.failure = failure
        self.requests: list[Any] = []

    async def _answer(self, request: Any, context: aio.ServicerContext[Any, Any]) -> None:
        self.requests.append(request)
        for answer in self.answers:
            await context.write(answer)
        if self.failure is not None:
            await abort_with(context, self.failure)

    async def VerifyLedger(self, request: Any, context: Any) -> None:
        await self._answer(request, context)

    async def BackfillTotals(self, request: Any, context: Any) -> None:
        await self._answer(request, context)


@contextmanager
def _peer(monkeypatch: pytest.MonkeyPatch, peer: AuditPeer) -> Iterator[AuditPeer]:
    def add(server: Any) -> None:
        admin_pb2_grpc.add_ProgressAdminServiceServicer_to_server(peer, server)

    with serving(add) as address:
        monkeypatch.setenv("LAUREL_PROGRESS_ADDRESS", address)
        yield peer


def _run(monkeypatch: pytest.MonkeyPatch, peer: AuditPeer, *args: str) -> Result:
    with _peer(monkeypatch, peer):
        return CliRunner().invoke(app, [*args])


def _verified(checked: int, *mismatches: pb.Mismatch) -> pb.VerifyLedgerResponse:
    return pb.VerifyLedgerResponse(
        users_total=3, users_checked=checked, mismatches=mismatches, position=POSITION
    )


def _lines(result: Result) -> list[list[str]]:
    return [line.split() for line in result.stdout.splitlines()]


def test_verify_says_that_everything_agrees(monkeypatch: pytest.MonkeyPatch) -> None:
    result = _run(monkeypatch, AuditPeer([_verified(0), _verified(3)]), "verify")
    assert result.exit_code == 0, result.stderr
    assert ["users", "checked", "3"] in _lines(result)
    assert ["at", "position", "1,234"] in _lines(result)
    assert "Everything agrees." in result.stdout


def test_verify_lists_what_differs_and_ends_with_status_1(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answers = [_verified(0), _verified(1, WRONG[0]), _verified(3, *WRONG[1:])]
    result = _run(monkeypatch, AuditPeer(answers), "verify")
    assert result.exit_code == 1
    assert result.stderr == ""
    cells = [
        [cell.strip() for cell in line.strip("│").split("│")]
        for line in result.stdout.splitlines()
        if line.startswith("│")
    ]
    assert cells == [
        ["total", "ann", "marks, all courses, all time", "1,000", "7"],
        ["standing", "bob [red]", "xp, course c, week 2026-W47", "5", "0"],
        ["level progress", "cyd", "course c, l1: completed", "1", "0"],
        ["course progress", "cyd", "course c: marks", "0", "3"],
    ]


def test_verify_as_json_is_one_document(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = [_verified(0), _verified(3, *WRONG)]
    result = _run(monkeypatch, AuditPeer(answers), "verify", "--json")
    assert result.exit_code == 1
    document = json.loads(result.stdout)
    assert document.pop("elapsed_s") >= 0
    mismatches = document.pop("mismatches")
    assert document == {
        "ok": False,
        "users_total": 3,
        "users_checked": 3,
        "position": {"epoch": "e", "sequence": "1234"},
        "complete": True,
        "mismatches_total": 4,
        "mismatches_by_kind": {
            "total": 1,
            "standing": 1,
            "level_progress": 1,
            "course_progress": 1,
        },
        "mismatches_not_listed": 0,
    }
    assert [(one["user_id"], one["kind"]) for one in mismatches] == [
        ("ann", "MISMATCH_KIND_TOTAL"),
        ("bob\n[red]", "MISMATCH_KIND_STANDING"),
        ("cyd", "MISMATCH_KIND_LEVEL_PROGRESS"),
        ("cyd", "MISMATCH_KIND_COURSE_PROGRESS"),
    ]


def test_only_the_first_mismatches_are_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = [_verified(3, *[WRONG[0]] * 1_500)]
    result = _run(monkeypatch, AuditPeer(answers), "verify")
    assert result.stdout.count("marks, all courses") == 20
    assert "and 1,480 more" in result.stdout
    result = _run(monkeypatch, AuditPeer(answers), "verify", "--json")
    document = json.loads(result.stdout)
    assert len(document["mismatches"]) == 1_000
    assert (document["mismatches_total"], document["mismatches_not_listed"]) == (1_500, 500)


def test_more_mismatches_than_the_service_tells_are_no_complete_list(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    peer = AuditPeer(
        [_verified(1, WRONG[0])], FailedPrecondition("TOO_MANY_MISMATCHES", "too many")
    )
    result = _run(monkeypatch, peer, "verify")
    assert result.exit_code == 1
    assert "More figures differ than the service tells" in result.stdout
    result = _run(monkeypatch, peer, "verify", "--json")
    assert json.loads(result.stdout)["complete"] is False


def test_a_verification_that_is_refused_is_told_in_one_line(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    peer = AuditPeer([], ResourceExhausted("TOO_MANY_VERIFICATIONS", "too many at once"))
    result = _run(monkeypatch, peer, "verify")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == (
        "laurel: RESOURCE_EXHAUSTED (TOO_MANY_VERIFICATIONS): too many at once\n"
    )


@pytest.mark.parametrize("command", ["verify", "backfill"])
def test_a_stream_that_ends_early_is_a_failure(
    monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    cut = {"verify": _verified(1), "backfill": _backfilled(1)}[command]
    result = _run(monkeypatch, AuditPeer([cut]), command)
    assert (result.exit_code, result.stdout) == (1, "")
    assert "before it was complete" in result.stderr


@pytest.mark.parametrize("command", ["verify", "backfill"])
def test_a_silent_server_is_given_up(monkeypatch: pytest.MonkeyPatch, command: str) -> None:
    class Silent(AuditPeer):
        async def _answer(self, request: Any, context: aio.ServicerContext[Any, Any]) -> None:
            await asyncio.Event().wait()

    monkeypatch.setattr("shared.cli.answer_stream.SILENCE_S", 0.2)
    result = _run(monkeypatch, Silent([]), command)
    assert result.exit_code == 1
    assert "answered nothing for" in result.stderr


def _backfilled(checked: int, *updates: pb.TotalUpdate) -> pb.BackfillTotalsResponse:
    return pb.BackfillTotalsResponse(
        users_total=3,
        users_checked=checked,
        users_updated=1,
        users_unchanged=checked - 1,
        updates=updates,
        standings_corrected=4,
        completions_credited=5,
    )


def test_backfill_shows_what_was_mended(monkeypatch: pytest.MonkeyPatch) -> None:
    peer = AuditPeer([_backfilled(1, UPDATE), _backfilled(3)])
    result = _run(monkeypatch, peer, "backfill", "--credit-missing")
    assert result.exit_code == 0, result.stderr
    assert peer.requests == [pb.BackfillTotalsRequest(credit_missing=True)]
    for counted in (
        ["users", "checked", "3"],
        ["users", "updated", "1"],
        ["users", "unchanged", "2"],
        ["standings", "corrected", "4"],
        ["completions", "credited", "5"],
        ["│", "ann", "│", "Ann", "A", "│", "xp", "│", "87", "│", "80", "│"],
    ):
        assert counted in _lines(result)
    assert "Dry run" not in result.stdout


def test_a_dry_run_says_so_to_the_server_and_to_people(monkeypatch: pytest.MonkeyPatch) -> None:
    peer = AuditPeer([_backfilled(3, UPDATE)])
    result = _run(monkeypatch, peer, "backfill", "--dry-run")
    assert result.exit_code == 0
    assert peer.requests == [pb.BackfillTotalsRequest(dry_run=True)]
    assert "Dry run: nothing was changed." in result.stdout


def test_backfill_as_json_is_one_document(monkeypatch: pytest.MonkeyPatch) -> None:
    peer = AuditPeer([_backfilled(3, *[UPDATE] * 1_200)])
    result = _run(monkeypatch, peer, "backfill", "--json")
    document = json.loads(result.stdout)
    assert document.pop("elapsed_s") >= 0
    assert (
        document.pop("updates")
        == [
            {
                "user_id": "ann",
                "display_name": "Ann\tA",
                "metric": "xp",
                "old_total": "87",
                "new_total": "80",
            }
        ]
        * 1_000
    )
    assert document == {
        "dry_run": False,
        "users_total": 3,
        "users_checked": 3,
        "users_updated": 1,
        "users_unchanged": 2,
        "standings_corrected": 4,
        "completions_credited": 5,
        "updates_total": 1_200,
        "updates_not_listed": 200,
    }


def test_a_backfill_that_is_cut_says_that_running_it_again_is_safe(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    peer = AuditPeer([_backfilled(1)], FailedPrecondition("DRAINING", "is stopping"))
    result = _run(monkeypatch, peer, "backfill")
    assert result.exit_code == 1
    assert "running the same command again is safe" in result.stderr
    assert result.stderr.count("\n") == 1
    result = _run(monkeypatch, peer, "backfill", "--dry-run")
    assert "running the same command again" not in result.stderr
