import json
from collections.abc import Iterator
from contextlib import contextmanager

import grpc
import pytest
from typer.testing import CliRunner

from shared.cli.main import app
from shared.errors import invalid_field
from shared.gen.laurel.leaderboard.v1.leaderboard_pb2 import Entry
from shared.gen.laurel.leaderboard.v1.leaderboard_pb2_grpc import (
    add_LeaderboardServiceServicer_to_server,
)
from shared.gen.laurel.types.v1 import types_pb2
from tests.unit.cli_board_peer import NEXT_PAGE, BoardPeer, HangingPeer
from tests.unit.cli_peer import serving
from tests.unit.cli_process import command, interrupt

ENTRIES = [
    Entry(rank=1, user_id="ada", display_name="Ada", score=1_234_567),
    Entry(rank=1, user_id="bob", display_name="[bold]Bob[/bold]", score=1_234_567),
    Entry(rank=3, user_id="eve", display_name="Eve\x1b[2J\nmore", score=7),
]


@contextmanager
def _boards(monkeypatch: pytest.MonkeyPatch, peer: BoardPeer) -> Iterator[BoardPeer]:
    with serving(lambda server: add_LeaderboardServiceServicer_to_server(peer, server)) as address:
        monkeypatch.setenv("LAUREL_LEADERBOARD_ADDRESS", address)
        yield peer


def test_top_shows_ranks_names_and_scores(monkeypatch: pytest.MonkeyPatch) -> None:
    with _boards(monkeypatch, BoardPeer(ENTRIES)):
        result = CliRunner().invoke(app, ["top"])
    assert result.exit_code == 0, result.stderr
    assert "xp · all courses · all time · 3 users · from REDIS at position 1,234" in result.stdout
    assert "1,234,567" in result.stdout
    for entry in ENTRIES:
        assert entry.user_id in result.stdout


def test_names_are_shown_and_never_obeyed(monkeypatch: pytest.MonkeyPatch) -> None:
    with _boards(monkeypatch, BoardPeer(ENTRIES)):
        result = CliRunner().invoke(app, ["top"])
    assert "[bold]Bob[/bold]" in result.stdout
    assert "\x1b" not in result.stdout
    assert "Eve [2J more" in result.stdout


def test_top_asks_for_the_board_that_the_options_name(monkeypatch: pytest.MonkeyPatch) -> None:
    args = ["top", "--metric", "marks", "--course", "AAA-2013J", "--window", "week"]
    with _boards(monkeypatch, BoardPeer(ENTRIES)) as peer:
        CliRunner().invoke(app, [*args, "--period", "2014-W05", "--limit", "2", "--user", "eve"])
    (request,) = peer.requests
    assert request.board == types_pb2.Board(
        metric="marks", course_id="AAA-2013J", window=types_pb2.WINDOW_WEEK, period="2014-W05"
    )
    assert request.page_size == 2
    assert request.user_id == "eve"


@pytest.mark.parametrize("word", ["all-time", "year", "month", "week", "day", "Day"])
def test_every_window_has_its_word(monkeypatch: pytest.MonkeyPatch, word: str) -> None:
    with _boards(monkeypatch, BoardPeer(ENTRIES)) as peer:
        assert CliRunner().invoke(app, ["top", "--window", word]).exit_code == 0
    name = types_pb2.Window.Name(peer.requests[0].board.window)
    assert name == "WINDOW_" + word.upper().replace("-", "_")


def test_top_as_json_is_one_message_of_the_contract(monkeypatch: pytest.MonkeyPatch) -> None:
    with _boards(monkeypatch, BoardPeer(ENTRIES)):
        result = CliRunner().invoke(app, ["top", "--user", "eve", "--json"])
    document = json.loads(result.stdout)
    assert document["entries"][0] == {
        "rank": "1",
        "user_id": "ada",
        "display_name": "Ada",
        "avatar_url": "",
        "score": "1234567",
        "also_scores": [],
    }
    assert document["user_entry"]["rank"] == "3"
    assert document["state"]["source"] == "SOURCE_REDIS"
    assert document["next_page_token"] == ""


def test_an_empty_board_is_said_to_be_empty(monkeypatch: pytest.MonkeyPatch) -> None:
    with _boards(monkeypatch, BoardPeer()):
        table = CliRunner().invoke(app, ["top"])
        document = CliRunner().invoke(app, ["top", "--json"])
    assert "Nobody is on this board" in table.stdout
    assert json.loads(document.stdout)["entries"] == []


def test_rank_shows_where_the_user_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    with _boards(monkeypatch, BoardPeer(ENTRIES)):
        result = CliRunner().invoke(app, ["rank", "eve", "--window", "month"])
    assert result.exit_code == 0, result.stderr
    assert "66.7 %" in result.stdout
    assert " 3 " in result.stdout


def test_a_user_who_is_not_on_the_board_is_no_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    with _boards(monkeypatch, BoardPeer(ENTRIES)):
        table = CliRunner().invoke(app, ["rank", "zoe"])
        document = CliRunner().invoke(app, ["rank", "zoe", "--json"])
    assert table.exit_code == 0
    assert "zoe is not on this board." in table.stdout
    assert "entry" not in json.loads(document.stdout)


def test_a_typed_error_shows_status_reason_and_message(monkeypatch: pytest.MonkeyPatch) -> None:
    peer = BoardPeer(failure=invalid_field("board.period", "is not\na week"))
    with _boards(monkeypatch, peer):
        result = CliRunner().invoke(app, ["top", "--json"])
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr == (
        "laurel: INVALID_ARGUMENT (INVALID_FIELD): board.period: is not a week\n"
    )


def test_an_answer_from_something_else_shows_its_status(monkeypatch: pytest.MonkeyPatch) -> None:
    with _boards(monkeypatch, BoardPeer(raw_failure=grpc.StatusCode.PERMISSION_DENIED)):
        result = CliRunner().invoke(app, ["top"])
    assert result.exit_code == 1
    assert result.stderr == "laurel: PERMISSION_DENIED: from a proxy\n"


def test_a_service_that_hangs_is_given_up_at_the_deadline(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("shared.cli.boards.CALL_TIMEOUT_S", 0.2)
    peer = HangingPeer()
    with serving(lambda server: add_LeaderboardServiceServicer_to_server(peer, server)) as address:
        monkeypatch.setenv("LAUREL_LEADERBOARD_ADDRESS", address)
        result = CliRunner().invoke(app, ["top"])
    assert result.exit_code == 1
    assert result.stderr == (
        f"laurel: DEADLINE_EXCEEDED: LeaderboardService at {address} did not answer in time\n"
    )


def test_ctrl_c_exits_130_without_a_traceback() -> None:
    peer = HangingPeer()
    with (
        serving(lambda server: add_LeaderboardServiceServicer_to_server(peer, server)) as address,
        command("top", environment={"LAUREL_LEADERBOARD_ADDRESS": address}) as process,
    ):
        assert peer.asked.wait(20)
        stdout, stderr = interrupt(process)
    assert process.returncode == 130
    assert stdout == ""
    assert "Traceback" not in stderr


@pytest.mark.parametrize("word", ["competition", "dense", "ordinal", "Dense"])
def test_every_rank_mode_has_its_word(monkeypatch: pytest.MonkeyPatch, word: str) -> None:
    with _boards(monkeypatch, BoardPeer(ENTRIES)) as peer:
        top = CliRunner().invoke(app, ["top", "--mode", word])
        rank = CliRunner().invoke(app, ["rank", "eve", "--mode", word])
    assert (top.exit_code, rank.exit_code) == (0, 0)
    asked = {types_pb2.RankMode.Name(request.rank_mode) for request in peer.requests}
    assert asked == {f"RANK_MODE_{word.upper()}"}
    for result in (top, rank):
        unusual = word != "competition"
        assert (f"all time · {word.lower()} ranks · 3 users" in result.stdout) == unusual


def test_without_a_mode_ranks_are_competition_ranks(monkeypatch: pytest.MonkeyPatch) -> None:
    with _boards(monkeypatch, BoardPeer(ENTRIES)) as peer:
        CliRunner().invoke(app, ["top"])
        CliRunner().invoke(app, ["rank", "eve"])
    assert {request.rank_mode for request in peer.requests} == {types_pb2.RANK_MODE_COMPETITION}


def test_scores_in_other_windows_stand_beside_each_entry(monkeypatch: pytest.MonkeyPatch) -> None:
    entries = [
        Entry(rank=1, user_id="ada", score=90, also_scores=[1_040, 7]),
        Entry(rank=2, user_id="eve", score=80, also_scores=[2_050, 0]),
    ]
    args = ["top", "--window", "week", "--also", "month", "--also", "all-time", "--user", "eve"]
    with _boards(monkeypatch, BoardPeer(entries)) as peer:
        result = CliRunner().invoke(app, args)
    assert list(peer.requests[0].also_windows) == [
        types_pb2.WINDOW_MONTH,
        types_pb2.WINDOW_ALL_TIME,
    ]
    cells = [line.split() for line in result.stdout.splitlines()]
    assert cells[2][:11] == ["┃", "rank", "┃", "user", "┃", "name", "┃", "score", "┃", "month", "┃"]
    assert ["│", "1", "│", "ada", "│", "│", "90", "│", "1,040", "│", "7", "│"] in cells
    eve = ["│", "2", "│", "eve", "│", "│", "80", "│", "2,050", "│", "0", "│"]
    assert cells.count(eve) == 2


def test_the_next_page_is_asked_for_with_the_token_that_the_page_before_shows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with _boards(monkeypatch, BoardPeer(ENTRIES)) as peer:
        first = CliRunner().invoke(app, ["top", "--limit", "2"])
        assert f"next page: --after {NEXT_PAGE}" in first.stdout.splitlines()
        second = CliRunner().invoke(app, ["top", "--limit", "3", "--after", NEXT_PAGE])
    assert [request.page_token for request in peer.requests] == ["", NEXT_PAGE]
    assert "next page" not in second.stdout
