"""What of a service's log is shown at the terminal: warnings and errors."""

import json
import re
from pathlib import Path

from shared.log_lines import printable

SHOWN_LEVELS = {"warning", "error", "critical"}
SHOWN_AT_ONCE = 10
MARKS = (b"warning", b"error", b"critical")
SHOWN_CHARS = 1_000
TEXT_FORM = re.compile(r"\S+ \[(warning|error|critical) *\] ")
HIDDEN_FIELDS = {"event", "level", "timestamp", "exception"}


class LogWatch:
    """Reads a log file as it grows, from its present end on."""

    def __init__(self, name: str, path: Path) -> None:
        self._name = name
        self._path = path
        self._offset = path.stat().st_size if path.exists() else 0

    def new_warnings(self) -> list[str]:
        """Lines for a person, of the entries since the last call; at most ten and a remainder."""
        shown = self._new_shown()
        if len(shown) > SHOWN_AT_ONCE:
            more = len(shown) - SHOWN_AT_ONCE
            shown = [*shown[:SHOWN_AT_ONCE], f"{self._name}: {more} more, in {self._path}"]
        return shown

    def latest_warning(self) -> list[str]:
        """The last of the lines since the last call; none when there are none."""
        return self._new_shown()[-1:]

    def _new_shown(self) -> list[str]:
        return [text for line in self._new_lines() if (text := self._shown(line))]

    def _new_lines(self) -> list[bytes]:
        """The whole lines since the last call; all of the file after it has been emptied."""
        if not self._path.exists():
            return []
        if self._path.stat().st_size < self._offset:
            self._offset = 0
        with self._path.open("rb") as file:
            file.seek(self._offset)
            read = file.read()
        whole, newline, _ = read.rpartition(b"\n")
        self._offset += len(whole) + len(newline)
        return whole.splitlines()

    def _shown(self, line: bytes) -> str | None:
        # Nearly all lines are of no interest: they are not parsed.
        if not any(mark in line for mark in MARKS):
            return None
        try:
            entry = json.loads(line)
            level, event = str(entry["level"]), str(entry["event"])
        except (ValueError, KeyError, TypeError):
            # The text form, `<time> [warning  ] <event> …`.
            text = line.decode(errors="replace")
            return self._line(text) if TEXT_FORM.match(text) else None
        if level not in SHOWN_LEVELS:
            return None
        fields = " ".join(f"{k}={v}" for k, v in entry.items() if k not in HIDDEN_FIELDS)
        return self._line(f"{level}: {event} {fields}".rstrip())

    def _line(self, text: str) -> str:
        # Values are a caller's, perhaps, and this is a terminal.
        return printable(f"{self._name}: {text}"[:SHOWN_CHARS])
