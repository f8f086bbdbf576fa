import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from shared.cli.import_stream import MAX_UNANSWERED
from shared.cli.main import app
from shared.errors import Unavailable, Unimplemented
from shared.gen.laurel.progress.v1.admin_pb2_grpc import add_ProgressAdminServiceServicer_to_server
from tests.unit.cli_peer import ImportPeer, serving
from tests.unit.oulad_folder import write_folder


@contextmanager
def _progress(monkeypatch: pytest.MonkeyPatch, peer: ImportPeer) -> Iterator[ImportPeer]:
    def add(server: object) -> None:
        add_ProgressAdminServiceServicer_to_server(peer, server)  # type: ignore[arg-type]

    with serving(add) as address:
        monkeypatch.setenv("LAUREL_PROGRESS_ADDRESS", address)
        yield peer


def _import(folder: Path, *args: str) -> Result:
    return CliRunner().invoke(app, ["import", "oulad", str(folder), *args])


def _many(count: int) -> str:
    rows = "".join(f"9,{number},18,0,78\n" for number in range(count))
    return "id_assessment,id_student,date_submitted,is_banked,score\n" + rows


def test_the_counts_are_shown_with_what_was_rejected(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with _progress(monkeypatch, ImportPeer()):
        result = _import(write_folder(tmp_path))
    assert result.exit_code == 0, result.stderr
    lines = [line.split() for line in result.stdout.splitlines()]
    for counted in (["received", "3"], ["recorded", "2"], ["replayed", "0"], ["rejected", "1"]):
        assert counted in lines
    assert "INVALID_SCORE" in result.stdout
    assert "oulad:28400:9: correct_answers is not set" in result.stdout


def test_the_counts_as_json_are_one_document(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with _progress(monkeypatch, ImportPeer()):
        result = _import(write_folder(tmp_path), "--json")
    document = json.loads(result.stdout)
    assert document.pop("elapsed_s") > 0
    assert document.pop("attempts_per_s") > 0
    assert document == {
        "dry_run": False,
        "received": 3,
        "recorded": 2,
        "replayed": 0,
        "rejected": 1,
        "xp_credited": 50,
        "rejections": [
            {
                "reason": "INVALID_SCORE",
                "count": 1,
                "examples": [
                    {
                        "index": "2",
                        "request_id": "oulad:28400:9",
                        "reason": "INVALID_SCORE",
                        "message": "correct_answers is not set",
                    }
                ],
            }
        ],
        "rejections_not_listed": 0,
    }


def test_a_dry_run_says_so_to_the_server_and_to_people(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with _progress(monkeypatch, ImportPeer()) as peer:
        result = _import(write_folder(tmp_path), "--dry-run")
    assert [message.dry_run for message in peer.messages] == [True, False, False]
    assert "nothing was written" in result.stdout


def test_a_bounded_number_of_batches_is_sent_ahead_of_the_answers(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder = write_folder(tmp_path, studentAssessment=_many(200))
    with _progress(monkeypatch, ImportPeer(holds=MAX_UNANSWERED)) as peer:
        result = _import(folder, "--batch", "2")
    assert result.exit_code == 0, result.stderr
    assert len(peer.messages) == 102
    assert peer.most_ahead == MAX_UNANSWERED


@pytest.mark.parametrize("fails_after", [1, 2, 30])
def test_a_cut_connection_says_that_running_it_again_is_safe(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, fails_after: int
) -> None:
    folder = write_folder(tmp_path, studentAssessment=_many(200))
    peer = ImportPeer(fails_after=fails_after, failure=Unavailable("DRAINING", "is stopping"))
    with _progress(monkeypatch, peer):
        result = _import(folder, "--batch", "2", "--json")
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr.startswith("laurel: UNAVAILABLE (DRAINING): is stopping")
    assert "running the same command again is safe" in result.stderr
    assert result.stderr.count("\n") == 1


def test_a_stream_that_ends_early_is_a_failure(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder = write_folder(tmp_path, studentAssessment=_many(200))
    with _progress(monkeypatch, ImportPeer(fails_after=5)):
        result = _import(folder, "--batch", "2")
    assert result.exit_code == 1
    assert "ended the import before it was complete" in result.stderr


def test_a_server_without_imports_is_told_by_its_reason(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    peer = ImportPeer(fails_after=1, failure=Unimplemented("NOT_BUILT", "not offered here"))
    with _progress(monkeypatch, peer):
        result = _import(write_folder(tmp_path))
    assert result.exit_code == 1
    assert "UNIMPLEMENTED (NOT_BUILT): not offered here" in result.stderr


def test_a_silent_server_is_given_up(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("shared.cli.import_stream.ANSWER_TIMEOUT_S", 0.2)
    folder = write_folder(tmp_path, studentAssessment=_many(200))
    with _progress(monkeypatch, ImportPeer(holds=MAX_UNANSWERED + 1)):
        result = _import(folder, "--batch", "2")
    assert result.exit_code == 1
    assert "answered nothing for" in result.stderr


def test_nothing_is_sent_of_a_folder_that_does_not_read(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder = write_folder(tmp_path, studentAssessment=_many(5) + "9,6,x,0,78\n")
    with _progress(monkeypatch, ImportPeer()) as peer:
        result = _import(folder)
    assert result.exit_code == 1
    assert "studentAssessment.csv: line 7: column date_submitted: 'x'" in result.stderr
    assert peer.messages == []
