"""A log file that a child process writes to, bounded in size."""

import os
import shutil
from pathlib import Path

from shared.log_lines import printable

MAX_BYTES = 16 * 1024 * 1024
OWN_LINE = "laurel: "  # how a program of ours begins the line that says why it ends


class LogFile:
    """A file of mode 0600 that is appended to, with one older file (`.1`) beside it.

    The child holds the descriptor, so the file cannot be replaced while it runs: `trim` copies it
    aside and empties it (lines written in between are lost; O_APPEND makes the next one start at
    the new end).
    """

    def __init__(self, path: Path, max_bytes: int = MAX_BYTES) -> None:
        self.path = path
        self._max_bytes = max_bytes
        self._opened_at = 0  # how much was in it when it was opened last

    def open(self) -> int:
        """A descriptor to append to; the caller closes it. Trims the file first."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self.trim()
        self._opened_at = self.path.stat().st_size
        return descriptor

    def trim(self) -> bool:
        """Moves the content aside when it has outgrown its bound; whether it did."""
        if not self.path.exists() or self.path.stat().st_size <= self._max_bytes:
            return False
        older = self.path.with_name(self.path.name + ".1")
        shutil.copyfile(self.path, older)
        older.chmod(0o600)
        os.truncate(self.path, 0)
        return True

    def tail(self, lines: int = 5) -> str:
        """The last lines since it was opened, for an error message: without anything that a
        terminal would act on. Empty when there are none.
        """
        if not self.path.exists():
            return ""
        with self.path.open("rb") as file:
            size = self.path.stat().st_size
            # A file that is shorter than it was has been emptied since: all of it is new.
            first = self._opened_at if self._opened_at <= size else 0
            file.seek(max(first, size - 8192))
            text = file.read().decode(errors="replace")
        return "\n".join(printable(line) for line in text.splitlines()[-lines:])

    def reason(self) -> str:
        """Why the process ended: its own last line about that (`laurel: …`), or else the tail."""
        own = [line for line in self.tail(100).splitlines() if line.startswith(OWN_LINE)]
        return own[-1].removeprefix(OWN_LINE) if own else self.tail()
