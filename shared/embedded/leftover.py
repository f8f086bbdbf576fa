"""Processes that a killed supervisor has left running."""

import time
from collections.abc import Collection, Sequence
from pathlib import Path

import psutil

from shared.embedded.errors import EmbeddedError

POLL_S = 0.02


def left_over(directory: Path, names: Collection[str]) -> list[psutil.Process]:
    """The processes of the given names whose working directory is `directory`."""
    found = []
    where = str(directory.resolve())
    for process in psutil.process_iter(["name"]):
        if process.info["name"] not in names:
            continue
        try:
            if is_alive(process) and process.cwd() == where:
                found.append(process)
        except psutil.Error:  # it has just ended, or is another user's
            continue
    return found


def kill_all(processes: Sequence[psutil.Process], timeout_s: float = 10.0) -> None:
    """Kills the processes and waits until they are gone; EmbeddedError when one stays."""
    for process in processes:
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue
    alive = still_alive(processes, timeout_s)
    if alive:
        raise EmbeddedError(f"cannot kill process {alive[0].pid}")


def still_alive(processes: Sequence[psutil.Process], timeout_s: float) -> list[psutil.Process]:
    """Waits until the processes have ended, at most for the timeout; those that have not.

    One that has ended and is not collected by its parent (which may be a lazy init) is gone.
    """
    deadline = time.monotonic() + timeout_s
    alive = [process for process in processes if is_alive(process)]
    while alive and time.monotonic() < deadline:
        time.sleep(POLL_S)
        alive = [process for process in alive if is_alive(process)]
    return alive


def is_alive(process: psutil.Process) -> bool:
    """Whether the process has not ended; one that waits to be collected has."""
    try:
        if process.status() == psutil.STATUS_ZOMBIE:
            # The first thread has ended; while others end, files and ports are still held.
            return process.num_threads() > 1
        return process.is_running()
    except psutil.NoSuchProcess:
        return False
