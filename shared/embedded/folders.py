"""Folders that only their owner may enter, for data and for sockets."""

import contextlib
import fcntl
import hashlib
import os
import stat
import tempfile
from pathlib import Path
from typing import IO

from shared.embedded.account import Account
from shared.embedded.errors import EmbeddedError

SOCKET_PATH_LIMIT = 103
"""Bytes of a Unix socket's path: sockaddr_un holds 108 on Linux and 104 on macOS, with the NUL."""


def private_folder(path: Path, account: Account | None = None) -> Path:
    """Creates `path` with mode 0700 (parents as the umask says) and gives it to the account."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.chmod(0o700)
    if account is not None:
        os.chown(path, account.uid, account.gid)
    return path


def socket_folder(directory: Path, socket_name: str, account: Account | None = None) -> Path:
    """A folder of mode 0700 whose sockets have paths that the system accepts.

    It is `directory`/socket, or where that is too deep one in the user's runtime or temporary
    folder, named by a hash of `directory`, so that the same directory always finds the same one.
    So it is where the path has a comma, which PostgreSQL's clients take for a list of hosts.
    """
    near = directory / "socket"
    if len(os.fsencode(near / socket_name)) <= SOCKET_PATH_LIMIT and "," not in str(near):
        return private_folder(near, account)
    digest = hashlib.sha256(os.fsencode(directory)).hexdigest()[:16]
    far = _runtime_folder() / f"laurel-{digest}"
    owner = os.geteuid() if account is None else account.uid
    # The place is shared with other users: what is there already must be a folder of our own.
    if os.path.lexists(far):
        status = far.lstat()
        if not stat.S_ISDIR(status.st_mode) or status.st_uid not in {owner, os.geteuid()}:
            raise EmbeddedError(f"{far} is in the way: it belongs to someone else")
    folder = private_folder(far, account)
    if len(os.fsencode(folder / socket_name)) > SOCKET_PATH_LIMIT:
        raise EmbeddedError(f"no place for a socket: {folder} is too long a path; set TMPDIR")
    return folder


def remove_far_folder(folder: Path | None, directory: Path) -> None:
    """Removes an empty sockets' folder that lies outside `directory`; it would pile up."""
    if folder is not None and folder.parent != directory:
        with contextlib.suppress(OSError):
            folder.rmdir()


def _runtime_folder() -> Path:
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    # Root's runtime folder is closed to the account that PostgreSQL runs as.
    if os.geteuid() != 0 and runtime and os.access(runtime, os.W_OK | os.X_OK):
        return Path(runtime)
    return Path(tempfile.gettempdir())


class FolderLock:
    """An exclusive lock on a folder, held by one process until released or until it ends."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / "lock"
        self._file: IO[str] | None = None

    def acquire(self) -> bool:
        """Whether the lock is ours now; False when another process, or another lock, has it."""
        if self._file is not None:
            return True
        file = self._path.open("a", encoding="utf-8")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            return False
        self._file = file
        return True

    def release(self) -> None:
        """Gives the lock up; does nothing when it is not held."""
        if self._file is not None:
            fcntl.flock(self._file, fcntl.LOCK_UN)
            self._file.close()
            self._file = None
