import json
from collections.abc import Iterator
from contextlib import contextmanager

import grpc
import pytest
from grpc import aio
from typer.testing import CliRunner, Result

from shared.cli.main import app
from shared.errors import FailedPrecondition, Unavailable
from shared.gen.laurel.leaderboard.v1.admin_pb2 import (
    BoardMismatch,
    VerifyBoardsRequest,
    VerifyBoardsResponse,
)
from shared.gen.laurel.leaderboard.v1.admin_pb2_grpc import (
    add_LeaderboardAdminServiceServicer_to_server,
)
from shared.gen.laurel.types.v1 import types_pb2
from shared.gen.laurel.types.v1.types_pb2 import Board
from tests.unit.cli_board_peer import BoardStreamPeer, Stream
from tests.unit.cli_peer import serving

TERMINAL = {"TTY_COMPATIBLE": "1", "NO_COLOR": "1", "COLUMNS": "160"}
WRONG = [
    BoardMismatch(
        board=Board(metric="marks", window=types_pb2.WINDOW_ALL_TIME),
        user_id="ann",
        expected=1_000,
        found=7,
    ),
    BoardMismatch(
        board=Board(metric="xp", course_id="c", window=types_pb2.WINDOW_WEEK, period="2026-W47"),
        user_id="bob\n[red]",
        expected=5,
    ),
]


@contextmanager
def _peer(*streams: Stream) -> Iterator[tuple[BoardStreamPeer, str]]:
    peer = BoardStreamPeer(*streams)

    def add(server: aio.Server) -> None:
        add_LeaderboardAdminServiceServicer_to_server(peer, server)

    with serving(add) as address:
        yield peer, address


def _invoke(address: str, *args: str, **environment: str) -> Result:
    environment["LAUREL_LEADERBOARD_ADDRESS"] = address
    return CliRunner().invoke(app, ["verify-boards", *args], env=environment)


def _run(*answers: VerifyBoardsResponse, args: tuple[str, ...] = ()) -> Result:
    with _peer(Stream(answers)) as (_, address):
        return _invoke(address, *args)


def _checked(
    count: int, *mismatches: BoardMismatch, repaired: int = 0, complete: bool = False
) -> VerifyBoardsResponse:
    return VerifyBoardsResponse(
        standings_total=3_000,
        standings_checked=count,
        mismatches=mismatches,
        repaired=repaired,
        position=types_pb2.Position(epoch="e", sequence=1_234),
        complete=complete,
    )


AGREES = _checked(3_000, complete=True)


def _lines(result: Result) -> list[list[str]]:
    return [line.split() for line in result.stdout.splitlines()]


def test_it_says_that_everything_agrees() -> None:
    result = _run(_checked(0), _checked(1_500), AGREES)
    assert (result.exit_code, result.stderr) == (0, "")
    assert ["standings", "checked", "3,000"] in _lines(result)
    assert ["at", "position", "1,234"] in _lines(result)
    assert "Everything agrees." in result.stdout


def test_what_differs_is_listed_and_ends_with_status_1() -> None:
    result = _run(_checked(100, WRONG[0]), _checked(3_000, WRONG[1], complete=True))
    assert (result.exit_code, result.stderr) == (1, "")
    cells = [
        [cell.strip() for cell in line.strip("│").split("│")]
        for line in result.stdout.splitlines()
        if line.startswith("│")
    ]
    assert cells == [
        ["marks, all courses, all time", "ann", "1,000", "7"],
        ["xp, course c, week 2026-W47", "bob [red]", "5", "0"],
    ]
    assert "Nothing was changed; --repair mends what differs." in result.stdout


def test_what_repair_has_mended_ends_with_status_0() -> None:
    result = _run(
        _checked(100, WRONG[0], repaired=1),
        _checked(3_000, WRONG[1], repaired=2, complete=True),
        args=("--repair",),
    )
    assert result.exit_code == 0
    assert ["mismatches", "2"] in _lines(result)
    assert ["repaired", "2"] in _lines(result)
    assert "Everything that differed was mended." in result.stdout


def test_what_repair_could_not_mend_ends_with_status_1() -> None:
    result = _run(_checked(3_000, *WRONG, repaired=1, complete=True), args=("--repair",))
    assert result.exit_code == 1
    assert "1 standings were not mended." in result.stdout


@pytest.mark.parametrize(
    ("args", "asked"),
    [
        ((), VerifyBoardsRequest()),
        (("--repair",), VerifyBoardsRequest(repair=True)),
        (
            ("--metric", "marks"),
            VerifyBoardsRequest(boards=[Board(metric="marks", window=types_pb2.WINDOW_ALL_TIME)]),
        ),
        (
            ("--course", "c"),
            VerifyBoardsRequest(
                boards=[Board(metric="xp", course_id="c", window=types_pb2.WINDOW_ALL_TIME)]
            ),
        ),
        (
            ("--course", ""),
            VerifyBoardsRequest(boards=[Board(metric="xp", window=types_pb2.WINDOW_ALL_TIME)]),
        ),
        (
            ("--window", "all-time"),
            VerifyBoardsRequest(boards=[Board(metric="xp", window=types_pb2.WINDOW_ALL_TIME)]),
        ),
        (
            ("--window", "week", "--period", "2026-W47", "--repair"),
            VerifyBoardsRequest(
                boards=[Board(metric="xp", window=types_pb2.WINDOW_WEEK, period="2026-W47")],
                repair=True,
            ),
        ),
    ],
)
def test_it_asks_for_the_board_that_the_options_name_or_for_all(
    args: tuple[str, ...], asked: VerifyBoardsRequest
) -> None:
    with _peer(Stream([AGREES])) as (peer, address):
        assert _invoke(address, *args).exit_code == 0
    assert peer.requests == [asked]


def test_as_json_it_is_one_document() -> None:
    result = _run(_checked(3_000, *WRONG, complete=True), args=("--json",))
    assert result.exit_code == 1
    document = json.loads(result.stdout)
    assert document.pop("elapsed_s") >= 0
    assert [one["user_id"] for one in document.pop("mismatches")] == ["ann", "bob\n[red]"]
    assert document == {
        "ok": False,
        "repair": False,
        "standings_total": 3_000,
        "standings_checked": 3_000,
        "position": {"epoch": "e", "sequence": "1234"},
        "complete": True,
        "mismatches_total": 2,
        "repaired": 0,
        "mismatches_not_listed": 0,
    }


def test_only_the_first_mismatches_are_listed() -> None:
    answer = _checked(3_000, *[WRONG[0]] * 1_500, complete=True)
    table = _run(answer)
    assert table.stdout.count("marks, all courses") == 20
    assert "and 1,480 more" in table.stdout
    document = json.loads(_run(answer, args=("--json",)).stdout)
    assert len(document["mismatches"]) == 1_000
    assert (document["mismatches_total"], document["mismatches_not_listed"]) == (1_500, 500)


def test_the_bar_shows_what_is_checked_and_found() -> None:
    answer = _checked(3_000, *WRONG, repaired=2, complete=True)
    with _peer(Stream([answer])) as (_, address):
        terminal = _invoke(address, "--repair", **TERMINAL)
        pipe = _invoke(address, "--repair")
    assert "3000/3000 standings 2 mismatches, 2 repaired" in terminal.stderr
    assert pipe.stderr == ""


@pytest.mark.parametrize("repair", [(), ("--repair",)])
def test_more_mismatches_than_the_service_tells_are_no_complete_list(
    repair: tuple[str, ...],
) -> None:
    failure = FailedPrecondition("TOO_MANY_MISMATCHES", "too many")
    with _peer(Stream([_checked(100, *WRONG, repaired=2)], failure=failure)) as (_, address):
        table = _invoke(address, *repair)
        document = json.loads(_invoke(address, *repair, "--json").stdout)
    assert (table.exit_code, table.stderr) == (1, "")
    assert "More differs than the service tells; not all was checked." in table.stdout
    assert table.stdout.count("all courses") == 1
    assert (document["ok"], document["complete"]) == (False, False)


@pytest.mark.parametrize("repair", [False, True])
def test_a_stream_without_complete_is_a_failure_though_all_was_checked(*, repair: bool) -> None:
    result = _run(_checked(3_000), args=("--repair",) if repair else ())
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith(
        "laurel: LeaderboardService ended the stream before it was complete"
    )
    assert ("What was repaired stays repaired" in result.stderr) == repair
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("failure", "line"),
    [
        (
            Unavailable("REDIS_UNAVAILABLE", "Redis does not answer."),
            "laurel: UNAVAILABLE (REDIS_UNAVAILABLE): Redis does not answer.\n",
        ),
        (grpc.StatusCode.UNAVAILABLE, "laurel: UNAVAILABLE: no answer from LeaderboardService"),
    ],
)
def test_a_verification_that_is_cut_is_not_taken_up_again(
    failure: Unavailable | grpc.StatusCode, line: str
) -> None:
    with _peer(Stream([_checked(100)], failure=failure), Stream([AGREES])) as (peer, address):
        result = _invoke(address)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith(line)
    assert len(peer.requests) == 1
