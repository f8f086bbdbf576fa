"""Where the servers of tests keep their files: in memory, where there is room.

A database is cloned from its template for each test, which on a disk takes five times as long. Each
process has a folder of its own in /dev/shm, which it holds a lock on; what a killed one has left
there is removed by the next.
"""

import shutil
import tempfile
from contextlib import suppress
from functools import cache
from os import getuid
from pathlib import Path

import psutil

from shared.embedded.folders import FolderLock

_MEMORY = Path("/dev/shm")
_NEEDED = 6 << 30  # bytes
_PREFIX = f"laurel-tests-{getuid()}-"
_held: list[FolderLock] = []


def new_folder(prefix: str) -> Path:
    """An empty folder of mode 0700, in memory or in the temporary folder; remove it after use.

    Its path is short: those of sockets are limited to 107 bytes.
    """
    return Path(tempfile.mkdtemp(prefix=prefix, dir=_parent()))


@cache
def _parent() -> Path | None:
    """The folder of this process, None for the temporary folder."""
    if not has_room(_MEMORY):
        return None
    remove_orphans(_MEMORY)
    return own_folder(_MEMORY)


def own_folder(memory: Path) -> Path:
    """A new folder in `memory` that is locked until the process ends."""
    while True:
        folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=memory))
        lock = FolderLock(folder)
        with suppress(FileNotFoundError):  # another process took it for an orphan, and removed it
            if lock.acquire():
                folder.chmod(0o711)  # PostgreSQL runs as another user when we are root
                _held.append(lock)
                return folder


def has_room(memory: Path) -> bool:
    """Whether the folder is there, and as many bytes are free in it and in the machine."""
    try:
        free = shutil.disk_usage(memory).free
    except OSError:
        return False
    return min(free, psutil.virtual_memory().available) >= _NEEDED


def remove_orphans(memory: Path) -> None:
    """Removes the folders in `memory` whose process has ended."""
    for folder in memory.glob(f"{_PREFIX}*"):
        lock = FolderLock(folder)
        with suppress(FileNotFoundError):  # another process was faster
            if lock.acquire():
                shutil.rmtree(folder, ignore_errors=True)
                lock.release()
