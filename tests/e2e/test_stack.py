"""`laurel up`: everything starts, stops, is restarted, and refuses what cannot work."""

import asyncio
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import grpc
import psutil
import pytest

from shared.channels import open_channel
from shared.embedded.leftover import still_alive
from shared.gen.laurel.leaderboard.v1 import leaderboard_pb2
from shared.gen.laurel.leaderboard.v1.leaderboard_pb2_grpc import LeaderboardServiceStub
from shared.gen.laurel.progress.v1 import catalog_pb2
from shared.gen.laurel.progress.v1.catalog_pb2_grpc import CatalogServiceStub
from tests.e2e.running_stack import RunningStack, is_serving, until

SERVICES = ("PROGRESS_PORT", "LEADERBOARD_PORT")


def put_user(stack: RunningStack, user_id: str) -> None:
    async def call() -> None:
        async with open_channel(stack.target("PROGRESS_PORT")) as channel:
            user = catalog_pb2.User(user_id=user_id)
            await CatalogServiceStub(channel).PutUser(
                catalog_pb2.PutUserRequest(user=user), timeout=10, wait_for_ready=True
            )

    asyncio.run(call())


def user_ids(stack: RunningStack) -> list[str]:
    async def call() -> list[str]:
        async with open_channel(stack.target("PROGRESS_PORT")) as channel:
            answer = await CatalogServiceStub(channel).ListUsers(
                catalog_pb2.ListUsersRequest(), timeout=10, wait_for_ready=True
            )
            return [user.user_id for user in answer.users]

    return asyncio.run(call())


def total_xp(stack: RunningStack) -> int:
    """The sum of the XP of the board's first 50."""

    async def call() -> int:
        async with open_channel(stack.target("LEADERBOARD_PORT")) as channel:
            answer = await LeaderboardServiceStub(channel).GetTop(
                leaderboard_pb2.GetTopRequest(page_size=50), timeout=10
            )
            return sum(entry.score for entry in answer.entries)

    return asyncio.run(call())


def child(stack: RunningStack, part: str) -> psutil.Process:
    """The child whose command line has `part` in it."""
    children = stack.process.children()
    return next(process for process in children if part in " ".join(process.cmdline()))


def child_runs(stack: RunningStack, part: str) -> bool:
    children = stack.process.children()
    return any(part in " ".join(process.cmdline()) for process in children)


@pytest.fixture(scope="module")
def stack() -> Iterator[RunningStack]:
    with RunningStack() as running:
        yield running


def test_when_it_says_ready_both_services_serve(stack: RunningStack) -> None:
    assert all(is_serving(stack.target(name)) for name in SERVICES)


def test_it_listens_on_the_loopback_address_and_on_private_sockets_alone(
    stack: RunningStack,
) -> None:
    listening = {
        connection.laddr.ip.removeprefix("::ffff:")
        for process in stack.family()
        for connection in process.net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    }
    assert listening == {"127.0.0.1"}


def test_a_second_stack_on_the_same_home_is_refused(stack: RunningStack, tmp_path: Path) -> None:
    second = RunningStack(home=stack.home)
    second._output, second._errors = tmp_path / "stdout", tmp_path / "stderr"

    assert second.run_to_end() == 2
    assert second.errors.splitlines() == [
        f"laurel: LAUREL_HOME: another stack is running on {stack.home}"
    ]
    assert all(is_serving(stack.target(name)) for name in SERVICES)


@pytest.mark.parametrize("part", ["progress_service", "leaderboard_service", "envoy", "redis"])
def test_what_is_killed_is_started_again(stack: RunningStack, part: str) -> None:
    victim = child(stack, part)
    victim.send_signal(signal.SIGKILL)

    def is_back() -> bool:
        found = [process for process in stack.process.children() if process.pid != victim.pid]
        return any(part in " ".join(process.cmdline()) for process in found)

    until(is_back, 20, f"{part} is back")
    until(lambda: all(is_serving(stack.target(name)) for name in SERVICES), 20, "SERVING")


def test_it_answers_again_after_postgres_was_killed(stack: RunningStack) -> None:
    put_user(stack, "before-the-kill")
    child(stack, "postgres").send_signal(signal.SIGKILL)

    def answers() -> bool:
        try:
            return "before-the-kill" in user_ids(stack)
        except grpc.RpcError:
            return False

    until(answers, 30, "ProgressService answers again")


def test_it_keeps_its_data_and_leaves_no_process_behind(stack: RunningStack) -> None:
    put_user(stack, "kept-across-a-stop")
    family = stack.family()

    assert stack.interrupt() == 0
    assert still_alive(family, 0) == []
    assert list((stack.home / "run").glob("*.pid")) == []
    stack.start_and_wait()
    assert "kept-across-a-stop" in user_ids(stack)


def test_it_starts_again_at_once_after_the_supervisor_was_killed(stack: RunningStack) -> None:
    put_user(stack, "kept-across-a-kill")
    orphans = stack.family()[1:]
    stack.kill()
    stack.start_and_wait()

    assert "kept-across-a-kill" in user_ids(stack)
    assert still_alive(orphans, 0) == []


def test_it_starts_again_after_everything_was_killed(stack: RunningStack) -> None:
    put_user(stack, "kept-across-a-crash")
    for process in stack.family():
        process.send_signal(signal.SIGKILL)
    stack.wait()
    stack.start_and_wait()

    assert "kept-across-a-crash" in user_ids(stack)


def test_two_stacks_run_side_by_side(stack: RunningStack) -> None:
    put_user(stack, "only-in-one")
    with RunningStack() as other:
        assert user_ids(other) == []
        assert all(is_serving(stack.target(name)) for name in SERVICES)

    assert "only-in-one" in user_ids(stack)


def test_the_demo_stays_out_of_a_home_with_users(stack: RunningStack) -> None:
    put_user(stack, "a-real-one")
    before = user_ids(stack)
    stack.interrupt()
    stack.options = ("--demo",)
    stack.start_and_wait()

    assert "the demo stays out" in stack.errors
    assert user_ids(stack) == before


def test_a_taken_port_is_one_line_that_names_the_setting() -> None:
    stack = RunningStack()
    with socket.create_server(("127.0.0.1", stack.port("GATEWAY_PORT"))):
        status = stack.run_to_end()

    port = stack.port("GATEWAY_PORT")
    assert stack.errors.splitlines() == [f"laurel: LAUREL_GATEWAY_PORT: port {port} is in use"]
    assert status == 2
    stack.close()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("LAUREL_TIMEZONE", "Mars/Olympus"),
        ("LAUREL_PROGRESS_PORT", "many"),
        ("LAUREL_POSTGRES_URL", "mysql://localhost/laurel"),
        ("LAUREL_CORS_ORIGINS", "app.example.com"),
    ],
)
def test_a_bad_setting_is_one_line_that_names_it(name: str, value: str) -> None:
    stack = RunningStack(settings={name: value})
    status = stack.run_to_end()

    assert status == 2
    assert len(stack.errors.splitlines()) == 1
    assert name in stack.errors
    stack.close()


def test_the_demo_moves_the_board_and_a_second_interrupt_ends_it_at_once() -> None:
    with RunningStack(options=("--demo",), settings={"LAUREL_DRAIN_SECONDS": "60"}) as stack:
        assert f"http://{stack.target('GATEWAY_PORT')}/laurel." in stack.output
        until(lambda: total_xp(stack) > 0, 20, "someone is on the board")
        at_first = total_xp(stack)
        until(lambda: total_xp(stack) > at_first, 20, "the board moves")
        a_second_interrupt_does_not_wait_for_anyone(stack)


def a_second_interrupt_does_not_wait_for_anyone(stack: RunningStack) -> None:
    family = stack.family()
    child(stack, "leaderboard_service").suspend()
    stack.process.send_signal(signal.SIGINT)
    until(lambda: not child_runs(stack, "envoy"), 10, "it has begun to stop")

    def ended() -> bool:
        # Signals in quick succession count as one, so they are repeated.
        stack.interrupt_once()
        return stack.has_ended(0.6)

    until(ended, 20, "it has ended")
    assert stack.wait() == 0
    assert still_alive(family, 5) == []
