"""`laurel up --demo`: the board moves, and every call that it prints, or README shows, answers."""

import asyncio
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from shared.embedded.leftover import still_alive
from shared.gen.laurel.leaderboard.v1 import leaderboard_pb2
from shared.gen.laurel.leaderboard.v1.leaderboard_pb2_grpc import LeaderboardServiceStub
from tests.access import open_channel
from tests.e2e.running_stack import REPOSITORY, RunningStack, until

README = REPOSITORY / "README.md"
DEFAULT_PORTS = {"50051": "PROGRESS_PORT", "50052": "LEADERBOARD_PORT", "8080": "GATEWAY_PORT"}


@pytest.fixture(scope="module")
def stack() -> Iterator[RunningStack]:
    # With a secret that it makes itself, as everyone has it who has set nothing.
    settings = {"LAUREL_DRAIN_SECONDS": "60", "LAUREL_AUTH_SECRET": ""}
    with RunningStack(options=("--demo",), settings=settings) as running:
        yield running


def authorization(stack: RunningStack) -> str:
    """A token that this stack accepts, as the command line gets it."""
    printed = stack.run_client("token", "--role", "service", "--sub", "tests")
    return f"Bearer {printed.stdout.strip()}"


def total_xp(stack: RunningStack) -> int:
    """The sum of the XP of the board's first 50."""

    async def call() -> int:
        target = stack.target("LEADERBOARD_PORT")
        async with open_channel(target, authorization=authorization(stack)) as channel:
            answer = await LeaderboardServiceStub(channel).GetTop(
                leaderboard_pb2.GetTopRequest(page_size=50), timeout=10
            )
            return sum(entry.score for entry in answer.entries)

    return asyncio.run(call())


def in_a_shell(command: str) -> str:
    """What the command writes, run by a shell in the repository's folder."""
    done = subprocess.run(
        ["sh", "-c", command],
        cwd=REPOSITORY,
        env={name: text for name, text in os.environ.items() if not name.startswith("LAUREL_")},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, f"{command}\n{done.stderr}"
    return done.stdout


def call_in_a_shell(prepare: str, command: str) -> tuple[str, dict[str, Any]]:
    """The method that the command calls, and its answer; `prepare` sets what it needs."""
    answer: dict[str, Any] = json.loads(in_a_shell(f"{prepare}\n{command}"))
    return command.rpartition("/")[2], answer


def token_line(lines: list[str]) -> str:
    """The line that sets $TOKEN."""
    (line,) = (line for line in lines if "TOKEN=$(" in line)
    return line


def in_this_stack(text: str, stack: RunningStack) -> str:
    """README's text, with this stack's ports in place of the default ones."""
    for number, name in DEFAULT_PORTS.items():
        text = text.replace(f"127.0.0.1:{number}", stack.target(name))
    return text


def code_blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README.read_text(), re.DOTALL | re.MULTILINE)


def check_answer(method: str, answer: dict[str, Any]) -> None:
    if method == "GetTop":
        assert 1 <= len(answer["entries"]) <= 5
        assert answer["entries"][0]["rank"] == "1"
        assert answer["state"]["source"] == "SOURCE_REDIS"
    elif method == "GetRank":
        assert answer["state"]["board"]["window"] == "WINDOW_WEEK"
    else:
        assert method == "SubmitProgress"
        assert answer["attemptId"]
        assert answer["status"] == "LEVEL_STATUS_COMPLETED"


def test_the_printed_buf_calls_answer(stack: RunningStack) -> None:
    until(lambda: total_xp(stack) > 0, 20, "someone is on the board")
    lines = stack.output.splitlines()
    commands = [line for line in lines if "buf curl " in line]
    answers = [call_in_a_shell(token_line(lines), command) for command in commands]

    for method, answer in answers:
        check_answer(method, answer)
    assert [method for method, _ in answers] == [
        *("GetTop", "GetRank", "SubmitProgress"),  # gRPC
        *("GetTop", "SubmitProgress"),  # gRPC-Web
    ]
    assert [command.count("--protocol grpcweb") for command in commands] == [0, 0, 0, 1, 1]
    first, again = answers[2][1], answers[4][1]
    assert again["attemptId"] == first["attemptId"]


def test_the_printed_grpcurl_calls_name_the_same_methods(stack: RunningStack) -> None:
    commands = [line for line in stack.output.splitlines() if line.startswith("grpcurl ")]
    assert [command.rpartition("/")[2] for command in commands] == ["GetTop", "SubmitProgress"]
    if shutil.which("grpcurl") is not None:
        for command in commands:
            check_answer(*call_in_a_shell(token_line(stack.output.splitlines()), command))


def test_the_calls_of_the_readme_answer(stack: RunningStack) -> None:
    (block,) = (block for block in code_blocks("sh") if "buf curl" in block)
    text = in_this_stack(block, stack).replace("\\\n", " ")
    lines = text.replace(".venv/bin/", f"{Path(sys.executable).parent}/").splitlines()
    commands = [line for line in lines if "/buf curl " in line]
    home = f"export LAUREL_HOME={stack.home}; {token_line(lines)}"
    answers = [call_in_a_shell(home, line) for line in commands]

    assert [method for method, _ in answers] == ["SubmitProgress", "GetTop", "GetTop"]
    for method, answer in answers:
        check_answer(method, answer)


def test_the_python_example_of_the_readme_runs(stack: RunningStack) -> None:
    (example,) = code_blocks("python")
    shown = "\nprint(answer.attempt_id)\n"
    done = subprocess.run(
        [sys.executable, "-c", in_this_stack(example, stack) + shown],
        cwd=REPOSITORY,
        env=stack.environment | {"TOKEN": authorization(stack).removeprefix("Bearer ")},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert done.stdout.strip()


def test_make_run_starts_just_this() -> None:
    make = shutil.which("make")
    if make is None:
        pytest.skip("needs make")
    # Not what an outer make wants of its children.
    environment = {name: text for name, text in os.environ.items() if "MAKE" not in name}
    done = subprocess.run(
        [make, "--no-print-directory", "-n", "run"],
        cwd=REPOSITORY,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert done.stdout.splitlines()[-1] == "exec .venv/bin/laurel up --demo"


def test_the_demo_moves_the_board(stack: RunningStack) -> None:
    at_first = total_xp(stack)
    until(lambda: total_xp(stack) > at_first, 20, "the board moves")


def test_a_second_interrupt_does_not_wait_for_anyone(stack: RunningStack) -> None:
    family = stack.family()
    stack.child("leaderboard_service").suspend()
    stack.process.send_signal(signal.SIGINT)
    until(lambda: not stack.child_runs("envoy"), 10, "it has begun to stop")

    def ended() -> bool:
        # Signals in quick succession count as one, so they are repeated.
        stack.interrupt_once()
        return stack.has_ended(0.6)

    until(ended, 20, "it has ended")
    assert stack.wait() == 0
    assert still_alive(family, 5) == []
