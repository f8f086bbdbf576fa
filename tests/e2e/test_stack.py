"""`laurel up`: everything starts, stops, is restarted, and refuses what cannot work."""

import asyncio
import json
import signal
import socket
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from shared.embedded.leftover import still_alive
from shared.gen.laurel.progress.v1 import catalog_pb2
from shared.gen.laurel.progress.v1.catalog_pb2_grpc import CatalogServiceStub
from tests.access import open_channel
from tests.e2e.running_stack import RunningStack, is_serving, until
from tests.listeners import listening_addresses

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


@pytest.fixture(scope="module")
def stack() -> Iterator[RunningStack]:
    with RunningStack() as running:
        yield running


def test_when_it_says_ready_both_services_serve(stack: RunningStack) -> None:
    assert all(is_serving(stack.target(name)) for name in SERVICES)


def test_it_listens_on_the_loopback_address_and_on_private_sockets_alone(
    stack: RunningStack,
) -> None:
    assert listening_addresses(stack.family()) == {"127.0.0.1"}


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
    victim = stack.child(part)
    victim.send_signal(signal.SIGKILL)

    def is_back() -> bool:
        found = [process for process in stack.process.children() if process.pid != victim.pid]
        return any(part in " ".join(process.cmdline()) for process in found)

    until(is_back, 20, f"{part} is back")
    until(lambda: all(is_serving(stack.target(name)) for name in SERVICES), 20, "SERVING")


def test_it_answers_again_after_postgres_was_killed(stack: RunningStack) -> None:
    put_user(stack, "before-the-kill")
    stack.child("postgres").send_signal(signal.SIGKILL)

    def answers() -> bool:
        try:
            return "before-the-kill" in user_ids(stack)
        except grpc.RpcError:
            return False

    until(answers, 30, "ProgressService answers again")


def test_the_services_alone_are_told_the_secret_which_is_kept(stack: RunningStack) -> None:
    file = stack.home / "token-secret"
    secret = file.read_text().strip()
    told = {
        part: stack.child(part).environ().get("LAUREL_TOKEN_SECRET")
        for part in ("progress_service", "leaderboard_service", "envoy", "redis")
    }

    assert told == {
        "progress_service": secret,
        "leaderboard_service": secret,
        "envoy": None,
        "redis": None,
    }
    assert stack.interrupt() == 0
    stack.start_and_wait()
    assert file.read_text().strip() == secret
    assert stack.child("progress_service").environ()["LAUREL_TOKEN_SECRET"] == secret


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
    with RunningStack(settings={"LAUREL_BIND_HOST": "127.0.0.2"}) as other:
        assert user_ids(other) == []
        assert all(is_serving(stack.target(name)) for name in SERVICES)
        the_command_line_finds_it_on_another_address(other)

    assert "only-in-one" in user_ids(stack)


def the_command_line_finds_it_on_another_address(stack: RunningStack) -> None:
    done = stack.run_client("status", "--json")
    states = json.loads(done.stdout)

    assert done.returncode == 0
    assert states["progress_service"]["address"] == stack.target("PROGRESS_PORT")
    assert states["leaderboard_service"]["health"] == "SERVING"
    for port in (stack.port("METRICS_PORT"), stack.port("METRICS_PORT") + 1):
        url = f"http://127.0.0.2:{port}/metrics"
        assert url in stack.output
        with urllib.request.urlopen(url, timeout=10) as answer:
            assert b"laurel_" in answer.read()


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
