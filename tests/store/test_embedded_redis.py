"""The embedded Redis: starts, stops, keeps its data, survives a crash, is private."""

import os
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import redis

from shared.embedded.errors import EmbeddedError
from shared.embedded.leftover import still_alive
from shared.embedded.redis import EmbeddedRedis, newest_binary


@pytest.fixture
def server(tmp_path: Path) -> Iterator[EmbeddedRedis]:
    embedded = EmbeddedRedis(tmp_path / "redis")
    embedded.start()
    yield embedded
    embedded.stop()


@pytest.fixture
def client(server: EmbeddedRedis) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(server.url(), decode_responses=True) as connected:
        yield connected


def test_it_appends_and_never_evicts(client: redis.Redis) -> None:
    assert client.config_get("appendonly") == {"appendonly": "yes"}
    assert client.config_get("appendfsync") == {"appendfsync": "everysec"}
    assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}


def test_data_is_kept_across_a_stop(server: EmbeddedRedis, client: redis.Redis) -> None:
    client.set("kept", "7")
    server.stop()
    assert not server.running
    server.start()

    assert client.get("kept") == "7"


def test_what_was_written_survives_a_kill(server: EmbeddedRedis, client: redis.Redis) -> None:
    client.set("kept", "7")
    server.kill()
    server.start()

    assert client.get("kept") == "7"


def test_it_starts_again_after_its_process_was_killed(
    server: EmbeddedRedis, client: redis.Redis
) -> None:
    process = psutil.Process(server.pid)
    os.kill(server.pid, signal.SIGKILL)
    assert not still_alive([process], 10)
    server.start()

    assert client.ping()


def test_nothing_is_written_without_persist(tmp_path: Path) -> None:
    server = EmbeddedRedis(tmp_path / "redis", persist=False)
    server.start()
    try:
        with redis.Redis.from_url(server.url()) as client:
            client.set("gone", "7")
            server.stop()
            server.start()
            assert client.get("gone") is None
    finally:
        server.stop()
    assert list((tmp_path / "redis" / "data").iterdir()) == []


def test_nothing_listens_on_tcp_and_the_socket_is_private(
    server: EmbeddedRedis, tmp_path: Path
) -> None:
    connections = psutil.Process(server.pid).net_connections("inet")

    assert connections == []
    for name in ("socket", "data"):
        assert stat.S_IMODE((tmp_path / "redis" / name).stat().st_mode) == 0o700


def test_two_servers_run_side_by_side(
    server: EmbeddedRedis, client: redis.Redis, tmp_path: Path
) -> None:
    other = EmbeddedRedis(tmp_path / "other")
    other.start()
    try:
        with redis.Redis.from_url(other.url()) as there:
            there.set("only_there", "1")
        assert client.get("only_there") is None
    finally:
        other.stop()


def test_a_directory_in_use_is_refused(server: EmbeddedRedis, tmp_path: Path) -> None:
    with pytest.raises(EmbeddedError, match="in use"):
        EmbeddedRedis(tmp_path / "redis").start()


def test_it_ends_when_the_process_that_started_it_is_killed(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from shared.embedded.redis import EmbeddedRedis;"
        "server = EmbeddedRedis(Path(sys.argv[1])); server.start();"
        "print(server.pid, flush=True); sys.stdin.read()"
    )
    owner = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path / "redis")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with owner:
        assert owner.stdout is not None
        server = psutil.Process(int(owner.stdout.readline()))
        owner.kill()
        owner.wait()

    assert still_alive([server], 10) == []


@pytest.mark.parametrize("name", ["d" * 70 + "/" + "e" * 70, "a b, 'c' \"d\" %20 é"])
def test_deep_and_odd_directories_are_no_obstacle(tmp_path: Path, name: str) -> None:
    server = EmbeddedRedis(tmp_path / name)
    server.start()
    try:
        with redis.Redis.from_url(server.url()) as client:
            assert client.ping()
    finally:
        server.stop()


def test_the_newest_program_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, version in (("valkey-server", "99.0.1"), ("redis-server", "99.0.0")):
        program = tmp_path / name
        program.write_text(f"#!/bin/sh\necho 'Server v={version} sha=0'\n")
        program.chmod(0o700)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)

    assert newest_binary().path == str(tmp_path / "valkey-server")
