"""Log files, sockets' folders and locks of the embedded servers."""

import json
import os
import socket
import stat
from pathlib import Path

import pytest

from shared.embedded.errors import EmbeddedError, RefusedError
from shared.embedded.folders import SOCKET_PATH_LIMIT, FolderLock, socket_folder
from shared.embedded.logfile import LogFile
from shared.embedded.logwatch import LogWatch
from shared.embedded.ports import check_ports
from shared.embedded.secret_file import kept_secret
from shared.embedded.settings import EmbeddedSettings
from tests.ports import free_port


def append(log: LogFile, text: str) -> None:
    descriptor = log.open()
    os.write(descriptor, text.encode())
    os.close(descriptor)


def test_a_log_that_outgrows_its_bound_is_moved_aside_while_its_writer_goes_on(
    tmp_path: Path,
) -> None:
    log = LogFile(tmp_path / "a.log", max_bytes=10)
    writer = log.open()
    os.write(writer, b"more than ten bytes\n")

    assert log.trim()
    os.write(writer, b"next\n")
    os.close(writer)

    assert log.path.read_text() == "next\n"
    assert (tmp_path / "a.log.1").read_text() == "more than ten bytes\n"
    assert not log.trim()


def test_only_the_owner_reads_a_log(tmp_path: Path) -> None:
    log = LogFile(tmp_path / "a.log")
    append(log, "x")

    assert stat.S_IMODE(log.path.stat().st_mode) == 0o600


def test_a_secret_is_made_once_and_only_the_owner_reads_it(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    secret = kept_secret(path)

    assert len(secret) == 64
    assert kept_secret(path) == secret != kept_secret(tmp_path / "another")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert sorted(tmp_path.iterdir()) == [tmp_path / "another", path]


def test_only_what_was_written_since_the_last_start_is_the_reason_of_an_end(
    tmp_path: Path,
) -> None:
    log = LogFile(tmp_path / "a.log")
    append(log, "laurel: cannot listen on an old port\n")
    append(log, '{"event": "starting"}\nTraceback\nValueError: new\n')
    assert log.reason() == '{"event": "starting"}\nTraceback\nValueError: new'

    append(log, 'laurel: bad setting X: new\n{"event": "stopped"}\n')
    assert log.reason() == "bad setting X: new"


def test_a_log_that_was_emptied_since_its_start_is_new(tmp_path: Path) -> None:
    log = LogFile(tmp_path / "a.log")
    append(log, "long before the start\n")
    writer = log.open()
    os.truncate(log.path, 0)
    os.write(writer, b"after\n")
    os.close(writer)
    assert log.tail() == "after"


def test_the_terminal_shows_warnings_and_errors_once(tmp_path: Path) -> None:
    log = LogFile(tmp_path / "a.log")
    append(log, json.dumps({"event": "before", "level": "error"}) + "\n")
    watch = LogWatch("S", log.path)

    append(log, json.dumps({"event": "credited", "level": "info", "text": "no error"}) + "\n")
    append(log, json.dumps({"event": "slow", "level": "warning", "lag": 3}) + "\n")
    append(log, "2026-11-20T09:00:00Z [error    ] broken\nTraceback: an error\nhalf an error")

    assert watch.new_warnings() == [
        "S: warning: slow lag=3",
        "S: 2026-11-20T09:00:00Z [error    ] broken",
    ]
    assert watch.new_warnings() == []


def test_the_terminal_obeys_nothing_that_stands_in_a_log(tmp_path: Path) -> None:
    log = LogFile(tmp_path / "a.log")
    os.close(log.open())
    watch = LogWatch("S", log.path)
    odd = "a\nS: error: forged\x1b[2J\x9b"
    append(log, json.dumps({"event": "bad", "level": "error", "name": odd, "more": "x" * 9_999}))
    append(log, "\n2026-11-20T09:00:00Z [info     ] credited name='[error    ] forged'\n")
    append(log, "2026-11-20T09:00:00Z [warning  ] slow name=\x1b[31m\n")

    first, second = watch.new_warnings()

    assert first.startswith(r"S: error: bad name=a\nS: error: forged\x1b[2J\x9b more=xxx")
    assert len(first) < 1_100
    assert second == r"S: 2026-11-20T09:00:00Z [warning  ] slow name=\x1b[31m"
    assert log.tail(1).endswith(r"\x1b[31m")


def test_the_terminal_is_not_flooded(tmp_path: Path) -> None:
    log = LogFile(tmp_path / "a.log")
    watch = LogWatch("S", log.path)
    append(log, (json.dumps({"event": "bad", "level": "error"}) + "\n") * 25)

    shown = watch.new_warnings()

    assert len(shown) == 11
    assert shown[-1].startswith("S: 15 more")


def test_a_log_that_was_emptied_is_read_from_its_beginning(tmp_path: Path) -> None:
    log = LogFile(tmp_path / "a.log", max_bytes=10)
    append(log, "a line that is longer than what comes next\n")
    watch = LogWatch("S", log.path)
    log.trim()
    append(log, '{"event":"e","level":"error"}\n')

    assert watch.new_warnings() == ["S: error: e"]


def test_a_sockets_folder_is_open_to_its_owner_alone(tmp_path: Path) -> None:
    folder = socket_folder(tmp_path, "s")

    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_a_deep_home_has_its_sockets_in_a_short_folder_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    short = tmp_path / "t"
    short.mkdir()
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    monkeypatch.setattr("tempfile.tempdir", str(short))
    deep = tmp_path / ("d" * 60) / ("e" * 60)

    folder = socket_folder(deep, "s")

    assert folder.parent == short
    assert len(os.fsencode(folder / "s")) <= SOCKET_PATH_LIMIT
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert socket_folder(deep, "s") == folder
    assert socket_folder(deep / "other", "s") != folder


def test_what_is_in_the_way_of_a_short_folder_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    deep = tmp_path / ("d" * 60) / ("e" * 60)
    folder = socket_folder(deep, "s")
    folder.rmdir()
    folder.symlink_to(tmp_path)

    with pytest.raises(EmbeddedError, match="in the way"):
        socket_folder(deep, "s")


def test_a_folder_has_one_owner_at_a_time(tmp_path: Path) -> None:
    first, second = FolderLock(tmp_path), FolderLock(tmp_path)

    assert first.acquire()
    assert not second.acquire()
    first.release()
    assert second.acquire()
    second.release()


def test_a_taken_port_is_named_by_its_setting() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

        with pytest.raises(RefusedError, match=f"LAUREL_PROGRESS_PORT: port {port} is in use"):
            check_ports(EmbeddedSettings(progress_port=port))


def test_one_port_for_two_settings_is_refused() -> None:
    with pytest.raises(RefusedError, match="LAUREL_GATEWAY_PORT and LAUREL_PROGRESS_PORT"):
        check_ports(EmbeddedSettings(gateway_port=50051, progress_port=50051))
    with pytest.raises(RefusedError, match="LAUREL_ADMIN_GATEWAY_PORT and LAUREL_GATEWAY_PORT"):
        check_ports(EmbeddedSettings(admin_gateway_port=8080))


def test_an_address_of_another_machine_is_refused() -> None:
    with pytest.raises(RefusedError, match="LAUREL_BIND_HOST"):
        check_ports(EmbeddedSettings(bind_host="192.0.2.1", allow_plaintext_on_network=True))


def test_the_address_for_administration_is_checked_too() -> None:
    settings = EmbeddedSettings(
        progress_port=free_port(),
        leaderboard_port=free_port(),
        gateway_port=free_port(),
        admin_gateway_host="192.0.2.1",
        allow_plaintext_on_network=True,
    )

    with pytest.raises(RefusedError, match="LAUREL_ADMIN_GATEWAY_HOST"):
        check_ports(settings)
