"""`laurel up` on a PostgreSQL and a Redis that are there already."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from shared.embedded.postgres import EmbeddedPostgres
from shared.embedded.redis import EmbeddedRedis
from tests.e2e.running_stack import RunningStack, until


@pytest.fixture
def stack(postgres_url: str, redis_url: str) -> Iterator[RunningStack]:
    """Not started yet; its URL has the scheme's other name."""
    url = postgres_url.replace("postgresql://", "postgres://", 1)
    running = RunningStack(settings={"LAUREL_POSTGRES_URL": url, "LAUREL_REDIS_URL": redis_url})
    yield running
    running.close()


def boards_state(stack: RunningStack) -> str:
    done = stack.run_client("status", "--json")
    assert done.returncode == 0, done.stdout
    return str(json.loads(done.stdout)["leaderboard_service"]["status"]["state"])


def test_it_starts_on_them_and_starts_none_of_its_own(
    stack: RunningStack, postgres_server: EmbeddedPostgres, redis_server: EmbeddedRedis
) -> None:
    stack.start_and_wait()
    until(lambda: boards_state(stack) == "STATE_LIVE", 20, "the boards live in that Redis")
    assert not stack.child_runs("postgres ")
    assert not stack.child_runs("redis-server")
    assert stack.interrupt() == 0
    assert postgres_server.running
    assert redis_server.running


def test_a_database_that_is_not_there_is_one_line_and_not_one_of_an_earlier_start(
    stack: RunningStack, postgres_server: EmbeddedPostgres
) -> None:
    logs = stack.home / "logs"
    logs.mkdir(parents=True)
    _append(logs / "progress_service.log", "laurel: what ended an earlier start\n")
    url = postgres_server.url("no_such_database")
    stack.settings = {**stack.settings, "LAUREL_POSTGRES_URL": url}

    assert stack.run_to_end() == 2
    (line,) = stack.errors.splitlines()
    assert "LAUREL_POSTGRES_URL" in line
    assert "no_such_database" in line


def test_a_redis_that_does_not_answer_is_said_and_does_not_stop_it(stack: RunningStack) -> None:
    url = "redis://:secret@127.0.0.1:1/0"
    stack.settings = {**stack.settings, "LAUREL_REDIS_URL": url}
    stack.start_and_wait()
    until(lambda: "redis does not answer" in stack.errors, 10, "it is said")
    assert "secret" not in stack.errors
    assert stack.run_client("status").returncode == 0


def _append(path: Path, text: str) -> None:
    with path.open("a", encoding="utf-8") as file:
        file.write(text)
