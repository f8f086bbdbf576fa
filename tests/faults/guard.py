"""Leaves nothing of a run behind: neither processes, nor mounts, nor the folder.

`python -m tests.faults.guard FOLDER` waits until its standard input ends, which it does when the
process that holds the other end has, however that came, and then clears the folder.
"""

import contextlib
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Self

import psutil

from shared.embedded.leftover import kill_all

ROOT = Path(__file__).parents[2]
_MOUNTS = Path("/proc/self/mounts")


class Guard:
    """Clears `folder` at the end of the block, or when this process is gone.

    Everything that runs for the folder's sake has its working directory in it.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder.resolve()
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.guard", str(self._folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            cwd=ROOT,
            start_new_session=True,  # a Ctrl-C is for the harness, and then for the guard to mend
        )
        return self

    def __exit__(self, *exc: object) -> None:
        self.clear()

    def clear(self) -> None:
        """Clears the folder and ends the guard; does nothing the second time."""
        process, self._process = self._process, None
        if process is not None and process.stdin is not None:
            clear(self._folder)
            process.stdin.close()
            process.wait()


def clear(folder: Path) -> None:
    """Kills what runs in the folder, unmounts what is mounted there, and removes it."""
    kill_all(_running_in(folder))
    for mount in _mounts_in(folder):
        subprocess.run(["umount", "--lazy", mount], check=False)
    shutil.rmtree(folder, ignore_errors=True)


def _running_in(folder: Path) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if Path(process.cwd()).is_relative_to(folder):
                found.append(process)
    return found


def _mounts_in(folder: Path) -> list[str]:
    """The deepest first."""
    if not _MOUNTS.exists():
        return []
    mounted = [line.split()[1] for line in _MOUNTS.read_text("utf-8").splitlines()]
    return sorted((one for one in mounted if Path(one).is_relative_to(folder)), reverse=True)


def main(folder: Path) -> None:
    """Waits for the end of standard input."""
    sys.stdin.read()
    clear(folder)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
