"""What a verification finds, on disk until it is sent.

The database is read as fast as it can be read, and whoever asked takes what was found at their
own pace: the snapshot is gone by then, and memory holds a message at a time.
"""

from dataclasses import dataclass
from pathlib import Path
from tempfile import NamedTemporaryFile

import orjson

from progress_service.store.mismatches import Kind, Mismatch

MAX_MISMATCHES = 1_000_000
"""About 100 MB."""


class SpoolFullError(Exception):
    """The spool holds as many mismatches as it takes."""


@dataclass(frozen=True, slots=True)
class Step:
    """What comes next: mismatches, and how many users are done with. `marked`: that is new."""

    mismatches: tuple[Mismatch, ...]
    users_checked: int
    marked: bool

    @property
    def is_news(self) -> bool:
        """Whether there is anything in it."""
        return self.marked or bool(self.mismatches)


class MismatchSpool:
    """Written and read at the same time, in order: mismatches, and marks that say that all of
    so many users come before.
    """

    def __init__(self, max_mismatches: int = MAX_MISMATCHES) -> None:
        self._room = max_mismatches
        self._checked = 0
        # Both are closed by close().
        self._in = NamedTemporaryFile()  # noqa: SIM115
        self._out = Path(self._in.name).open("rb")  # noqa: SIM115

    def close(self) -> None:
        """Removes what is on disk."""
        self._out.close()
        self._in.close()

    def add(self, mismatch: Mismatch) -> None:
        """Raises SpoolFullError instead of taking one more than fits."""
        if not self._room:
            raise SpoolFullError
        self._room -= 1
        self._in.write(orjson.dumps(tuple(mismatch)) + b"\n")

    def mark(self, users_checked: int) -> None:
        """Everything about so many users has been added."""
        self._in.write(b"%d\n" % users_checked)

    def take(self, limit: int) -> Step:
        """Up to `limit` mismatches more, and the marks among them."""
        # So that the file ends with a whole line.
        self._in.flush()
        found: list[Mismatch] = []
        marked = False
        while len(found) < limit and (line := self._out.readline()):
            one = orjson.loads(line)
            if isinstance(one, int):
                self._checked, marked = one, True
            else:
                found.append(Mismatch(Kind(one[0]), *one[1:]))
        return Step(tuple(found), self._checked, marked)
