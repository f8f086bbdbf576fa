import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from shared.cli.import_csv_columns import KINDS
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


def _import_csv(kind: str, file: object, *args: str, input_: str | None = None) -> Result:
    command = ["import", "csv", "--kind", kind, str(file), *args]
    return CliRunner().invoke(app, command, input=input_)


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
        "users": {"received": 2, "stored": 2, "rejected": 0},
        "courses": {"received": 2, "stored": 2, "rejected": 0},
        "rejections": [
            {
                "reason": "INVALID_SCORE",
                "count": 1,
                "examples": [
                    {
                        "index": "2",
                        "item": "attempts[2]",
                        "request_id": "oulad:28400:9",
                        "reason": "INVALID_SCORE",
                        "message": "correct_answers is not set",
                    }
                ],
            }
        ],
        "rejections_not_listed": 0,
    }


def test_users_that_were_rejected_are_counted_and_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with _progress(monkeypatch, ImportPeer(rejects={"28400"})):
        result = _import(write_folder(tmp_path))
        document = json.loads(_import(tmp_path, "--json").stdout)
    assert result.exit_code == 0, result.stderr
    assert ["rejected", "2"] in [line.split() for line in result.stdout.splitlines()]
    assert "users 1: user.user_id: is rejected here" in result.stdout
    assert document["users"] == {"received": 2, "stored": 1, "rejected": 1}
    assert (document["rejected"], document["rejections_not_listed"]) == (1, 0)


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


ATTEMPTS = "user_id,level_id,correct_answers,total_questions\nann,l1,1,1\nann,l1,,1\nann,l1,?,1\n"


def test_a_csv_file_is_imported_and_what_is_rejected_is_told_by_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "attempts.csv"
    file.write_text(ATTEMPTS)
    with _progress(monkeypatch, ImportPeer()) as peer:
        result = _import_csv("attempts", file)
    assert result.exit_code == 0, result.stderr
    lines = [line.replace("│", " ").split() for line in result.stdout.splitlines()]
    for counted in (["received", "3"], ["recorded", "1"], ["rejected", "2"]):
        assert counted in lines
    assert ["3", "INVALID_SCORE", "correct_answers", "is", "not", "set"] in lines
    assert ["4", "INVALID_FIELD", "correct_answers:", "'?'", "is", "not", "a"] in [
        line[:7] for line in lines
    ]
    assert [len(message.attempts) for message in peer.messages] == [2]


def test_csv_is_read_from_stdin_and_counted_as_one_document(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with _progress(monkeypatch, ImportPeer(rejects={"bob"})) as peer:
        result = _import_csv("users", "-", "--json", "--dry-run", input_="user_id\nann\nbob\n")
    document = json.loads(result.stdout)
    assert document.pop("elapsed_s") > 0
    assert document.pop("rows_per_s") > 0
    assert document == {
        "kind": "users",
        "dry_run": True,
        "received": 2,
        "stored": 1,
        "rejected": 1,
        "rejections": [
            {"line": 3, "reason": "INVALID_FIELD", "message": "user.user_id: is rejected here"}
        ],
        "rejections_not_listed": 0,
    }
    assert [message.dry_run for message in peer.messages] == [True]


@pytest.mark.parametrize(
    ("kind", "content", "what"),
    [
        ("users", "user_id,name\n", "stdin: line 1: unknown column 'name'; the columns of users: "),
        ("awards", "user_id\n", "stdin: line 1: no columns amount, source; the columns of awards"),
    ],
)
def test_nothing_is_sent_of_a_csv_file_with_a_wrong_header(
    monkeypatch: pytest.MonkeyPatch, kind: str, content: str, what: str
) -> None:
    with _progress(monkeypatch, ImportPeer()) as peer:
        result = _import_csv(kind, "-", input_=content)
    assert result.exit_code == 2
    assert result.stderr.startswith(f"laurel: {what}")
    assert result.stderr.count("\n") == 1
    assert peer.messages == []


def test_a_csv_file_that_is_not_there_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    result = _import_csv("users", "/no/such.csv")
    assert result.exit_code == 2
    assert result.stderr == "laurel: /no/such.csv: No such file or directory\n"


def test_a_csv_import_that_is_cut_says_that_running_it_again_is_safe(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    peer = ImportPeer(fails_after=3, failure=Unavailable("DRAINING", "is stopping"))
    rows = "".join(f"u{n}\n" for n in range(200))
    with _progress(monkeypatch, peer):
        result = _import_csv("users", "-", "--batch", "2", input_="user_id\n" + rows)
    assert result.exit_code == 1
    assert result.stderr.startswith("laurel: UNAVAILABLE (DRAINING): is stopping")
    assert "running the same command again is safe" in result.stderr


def test_the_columns_of_every_kind_are_in_the_help() -> None:
    text = " ".join(CliRunner().invoke(app, ["import", "csv", "--help"]).stdout.split())
    for kind in KINDS.values():
        assert f"{kind.name.value}: " in text
        for column in kind.columns:
            assert column.name in text


def test_nothing_is_sent_of_a_folder_that_does_not_read(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder = write_folder(tmp_path, studentAssessment=_many(5) + "9,6,x,0,78\n")
    with _progress(monkeypatch, ImportPeer()) as peer:
        result = _import(folder)
    assert result.exit_code == 1
    assert "studentAssessment.csv: line 7: column date_submitted: 'x'" in result.stderr
    assert peer.messages == []
