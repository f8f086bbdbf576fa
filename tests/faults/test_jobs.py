"""Runs that are broken off leave nothing behind."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.guard import ROOT, clear
from tests.faults.jobs import _end

# Who starts a process in the background may have it ignore a Ctrl-C.
_PROGRAM = """
import runpy, signal
signal.signal(signal.SIGINT, signal.default_int_handler)
runpy.run_module("tests.faults", run_name="__main__")
"""
_DEAF = """
import signal, sys
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print(flush=True)
signal.pause()
"""
_START_S = 60.0
_LEAVE_S = 60.0


@pytest.fixture
def temporary() -> Iterator[Path]:
    """The only folder in which a run makes folders; of a short path, for the sockets in it."""
    folder = Path(tempfile.mkdtemp(prefix="jobs-"))
    folder.chmod(0o711)  # PostgreSQL runs as another user when we are root
    yield folder
    clear(folder)


def _wait_for_logs(folder: Path) -> None:
    ends_at = time.monotonic() + _START_S
    while not list(folder.glob("laurel-*/logs/*.log")):
        assert time.monotonic() < ends_at, "no run has begun"
        time.sleep(0.05)


@pytest.mark.timeout(_START_S + _LEAVE_S + 20)
@pytest.mark.parametrize("jobs", [1, 2])
def test_a_soak_that_is_interrupted_leaves_nothing_behind(
    jobs: int, temporary: Path, tmp_path: Path
) -> None:
    told = ["--seconds", "600", "--jobs", str(jobs), "--keep", str(tmp_path)]
    with subprocess.Popen(
        [sys.executable, "-c", _PROGRAM, *told],
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(temporary), "PYTHONPATH": str(ROOT)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
    ) as soak:
        _wait_for_logs(temporary)
        os.killpg(soak.pid, signal.SIGINT)
        _, complaints = soak.communicate(timeout=_LEAVE_S)
    assert soak.returncode == 128 + signal.SIGINT
    assert b"Traceback" not in complaints
    # What tests.ports keeps is an empty file.
    assert not [one for one in temporary.iterdir() if one.is_dir()]


def test_a_worker_that_does_not_end_when_it_is_told_to_is_killed() -> None:
    command = [sys.executable, "-c", _DEAF]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as deaf:
        assert deaf.stdout is not None
        deaf.stdout.readline()
        _end([deaf], 0.2)
        assert deaf.returncode == -signal.SIGKILL
