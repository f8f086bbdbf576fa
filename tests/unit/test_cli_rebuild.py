import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import grpc
import pytest
from grpc import aio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner, Result

from shared.cli.main import app
from shared.errors import Unavailable
from shared.gen.laurel.leaderboard.v1.admin_pb2 import RebuildBoardsResponse
from shared.gen.laurel.leaderboard.v1.admin_pb2_grpc import (
    add_LeaderboardAdminServiceServicer_to_server,
)
from shared.gen.laurel.types.v1.types_pb2 import Position
from tests.unit.cli_board_peer import BoardStreamPeer, Stream
from tests.unit.cli_peer import serving
from tests.unit.cli_process import TIMEOUT_S, command, interrupt

TERMINAL = {"TTY_COMPATIBLE": "1", "NO_COLOR": "1", "COLUMNS": "160"}
CUT = grpc.StatusCode.UNAVAILABLE
WHOLE = 2_000


@pytest.fixture(autouse=True)
def _soon_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shared.cli.rebuild.PAUSE_S", (0.0, 0.0))


@contextmanager
def _peer(*streams: Stream, port: int = 0) -> Iterator[tuple[BoardStreamPeer, str]]:
    peer = BoardStreamPeer(*streams)

    def add(server: aio.Server) -> None:
        add_LeaderboardAdminServiceServicer_to_server(peer, server)

    with serving(add, port=port) as address:
        yield peer, address


def _invoke(address: str, *args: str, **environment: str) -> Result:
    environment["LAUREL_LEADERBOARD_ADDRESS"] = address
    return CliRunner().invoke(app, ["rebuild", *args], env=environment)


def _run(*streams: Stream, args: tuple[str, ...] = ()) -> Result:
    with _peer(*streams) as (_, address):
        return _invoke(address, *args)


def _loaded(count: int, *, complete: bool = False) -> RebuildBoardsResponse:
    return RebuildBoardsResponse(
        standings_total=WHOLE,
        standings_loaded=count,
        position=Position(epoch="e", sequence=1_234),
        complete=complete,
    )


DONE = _loaded(WHOLE, complete=True)


def _lines(result: Result) -> list[list[str]]:
    return [line.split() for line in result.stdout.splitlines()]


def test_a_rebuild_is_followed_to_its_end_and_summed_up() -> None:
    result = _run(Stream([_loaded(0), _loaded(700), DONE]))
    assert (result.exit_code, result.stderr) == (0, "")
    assert ["standings", "loaded", "2,000"] in _lines(result)
    assert ["at", "position", "1,234"] in _lines(result)
    assert "elapsed" in result.stdout


def test_a_rebuild_as_json_is_one_document() -> None:
    cut = Stream([_loaded(700)], failure=CUT)
    result = _run(cut, Stream([DONE]), args=("--json",))
    document = json.loads(result.stdout)
    assert document.pop("elapsed_s") >= 0
    assert document == {
        "standings_loaded": 2_000,
        "position": {"epoch": "e", "sequence": "1234"},
        "cuts": 1,
    }


def test_the_bar_shows_how_much_is_loaded_and_how_far_the_boards_are() -> None:
    with _peer(Stream([_loaded(700), DONE])) as (_, address):
        terminal = _invoke(address, **TERMINAL)
        pipe = _invoke(address)
    assert "2000/2000 standings position 1,234" in terminal.stderr
    assert pipe.stderr == ""


def test_a_total_that_turns_out_too_low_rises_with_what_is_loaded() -> None:
    answers = [_loaded(0), _loaded(2_700), _loaded(2_700, complete=True)]
    with _peer(Stream(answers)) as (_, address):
        result = _invoke(address, **TERMINAL)
    assert "2700/2700 standings" in result.stderr


@pytest.mark.parametrize(
    "cut",
    [
        CUT,
        grpc.StatusCode.CANCELLED,
        Unavailable("DRAINING", "is shutting down"),
        Unavailable("READER_STALLED", "nothing was read"),
    ],
)
def test_a_stream_that_is_cut_is_taken_up_again(cut: Unavailable | grpc.StatusCode) -> None:
    nothing_yet = Stream(failure=cut)
    with _peer(Stream([_loaded(700)], failure=cut), nothing_yet, Stream([DONE])) as (peer, address):
        result = _invoke(address)
    assert (result.exit_code, result.stderr) == (0, "")
    assert len(peer.requests) == 3


def test_a_service_that_ends_and_starts_again_is_found_again_without_a_word() -> None:
    with ExitStack() as stack:
        with _peer(Stream([_loaded(700)], hangs=True)) as (first, address):
            environment = {"LAUREL_LEADERBOARD_ADDRESS": address}
            process = stack.enter_context(command("rebuild", "--json", environment=environment))
            assert first.hanging.wait(TIMEOUT_S)
        with _peer(Stream([DONE]), port=int(address.rpartition(":")[2])):
            stdout, stderr = process.communicate(timeout=TIMEOUT_S)
    assert (process.returncode, stderr) == (0, "")
    assert json.loads(stdout)["cuts"] > 0


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(st.lists(st.integers(0, WHOLE), max_size=3), max_size=4), st.integers(0, WHOLE))
def test_wherever_a_stream_is_cut_the_outcome_is_that_of_the_last_message(
    cut_streams: list[list[int]], first: int
) -> None:
    cuts = [Stream([_loaded(first)], failure=CUT)]
    cuts += [Stream([_loaded(n) for n in sorted(counts)], failure=CUT) for counts in cut_streams]
    with _peer(*cuts, Stream([DONE])) as (peer, address):
        result = _invoke(address, "--json")
    assert result.exit_code == 0
    document = json.loads(result.stdout)
    assert (document["standings_loaded"], document["cuts"]) == (WHOLE, len(cuts))
    assert len(peer.requests) == len(cuts) + 1


def test_a_rebuild_that_failed_is_one_line_and_is_not_tried_again() -> None:
    failed = Unavailable("REBUILD_FAILED", "A store did not answer.")
    with _peer(Stream([_loaded(700)], failure=failed), Stream([DONE])) as (peer, address):
        result = _invoke(address)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == (
        "laurel: UNAVAILABLE (REBUILD_FAILED): A store did not answer. "
        "The boards that were there stay\n"
    )
    assert len(peer.requests) == 1


def test_a_service_that_never_answered_is_not_called_again() -> None:
    with _peer(Stream(failure=CUT)) as (peer, address):
        result = _invoke(address)
    assert result.exit_code == 1
    assert result.stderr.startswith(
        f"laurel: UNAVAILABLE: no answer from LeaderboardService at {address}"
    )
    assert "goes on" not in result.stderr
    assert len(peer.requests) == 1


def test_a_service_that_does_not_come_back_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shared.cli.rebuild.OUT_OF_TOUCH_S", 0.3)
    with _peer(Stream([_loaded(700)], failure=CUT), Stream(failure=CUT)) as (peer, address):
        result = _invoke(address)
    assert (result.exit_code, result.stdout) == (1, "")
    assert "A rebuild that has begun goes on" in result.stderr
    assert result.stderr.count("\n") == 1
    assert len(peer.requests) > 2


def test_a_stream_that_ends_well_before_it_was_complete_is_a_failure() -> None:
    result = _run(Stream([_loaded(WHOLE)]))
    assert (result.exit_code, result.stdout) == (1, "")
    assert "ended the stream before it was complete" in result.stderr


def test_a_service_that_falls_silent_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shared.cli.answer_stream.SILENCE_S", 0.2)
    result = _run(Stream([_loaded(700)], hangs=True))
    assert result.exit_code == 1
    assert "LeaderboardService answered nothing for" in result.stderr
    assert "goes on" in result.stderr


def test_ctrl_c_leaves_the_rebuild_running_and_says_so() -> None:
    with (
        _peer(Stream([_loaded(700)], hangs=True)) as (peer, address),
        command("rebuild", environment={"LAUREL_LEADERBOARD_ADDRESS": address}) as process,
    ):
        assert peer.hanging.wait(TIMEOUT_S)
        stdout, stderr = interrupt(process)
    assert (process.returncode, stdout) == (130, "")
    assert stderr == (
        "laurel: interrupted. A rebuild that has begun goes on; `laurel status` tells\n"
    )
