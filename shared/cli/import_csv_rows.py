"""A CSV file as the requests that carry it into ProgressService, a batch of rows at a time."""

from __future__ import annotations

import csv
import sqlite3
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from hashlib import blake2b
from io import TextIOWrapper
from typing import Any, BinaryIO, NamedTuple

from shared.cli.calls import EXIT_USAGE, CommandError
from shared.cli.import_csv_columns import REQUEST_ID, Column, Kind
from shared.gen.laurel.progress.v1.admin_pb2 import ImportProgressRequest

MAX_BATCH_CHARS = 1_000_000
"""Of the texts in a message, so that it stays below what a server takes."""
MAX_LINE_CHARS = 2_000_000
KEPT = 20
"""Of the rows that are rejected, as many are told one by one."""


class CsvFileError(CommandError):
    """The file cannot be read, or is none of its kind: nothing of it is sent."""

    exit_status = EXIT_USAGE


class RowProblem(NamedTuple):
    """Why a row was rejected; `line` is that of its beginning, the header's is 1."""

    line: int
    reason: str
    message: str


@dataclass
class SentRows:
    """The rows of one request: the lines of those that are in it, and those that are not."""

    lines: list[int] = field(default_factory=list)
    wrong: int = 0
    problems: list[RowProblem] = field(default_factory=list)

    def add_problem(self, line: int, what: str) -> None:
        """Counts a row that does not read; the first few are kept."""
        self.wrong += 1
        if len(self.problems) < KEPT:
            self.problems.append(RowProblem(line, "INVALID_FIELD", what))


class CsvRows:
    """A file of one kind whose header is in order.

    `requests` reads it once, in flat memory; `sent` has the rows of each request that it has
    given, oldest first: whoever has the answer removes them. Raises CsvFileError.
    """

    def __init__(self, source: BinaryIO, name: str, kind: Kind) -> None:
        self.kind = kind
        self.sent: deque[SentRows] = deque()
        self._name = name
        # What is no UTF-8 becomes characters that no field takes: its row alone is wrong then.
        # (Kept, for the source is closed with it.)
        self._text = TextIOWrapper(
            source, encoding="utf-8-sig", errors="surrogateescape", newline=""
        )
        self._reader = csv.reader(_lines(self._text, name), strict=True)
        self._columns = self._read_header()
        self._width = len(self._columns)
        self._makes_ids = kind.has_request_ids

    def _read_header(self) -> list[Column]:
        try:
            names = next(self._reader, [])
        except csv.Error as error:
            raise self._header_error(str(error)) from error
        known = {column.name: column for column in self.kind.columns}
        for n, name in enumerate(names):
            if name not in known:
                raise self._header_error(f"unknown column {name[:50]!r}")
            if name in names[:n]:
                raise self._header_error(f"column {name} occurs twice")
        missing = [one.name for one in known.values() if one.required and one.name not in names]
        if missing:
            noun = "columns" if len(missing) > 1 else "column"
            raise self._header_error(f"no {noun} {', '.join(missing)}")
        return [known[name] for name in names]

    def _header_error(self, what: str) -> CsvFileError:
        names = ", ".join(column.name for column in self.kind.columns)
        kind = self.kind.name.value
        return CsvFileError(f"{self._name}: line 1: {what}; the columns of {kind}: {names}")

    def requests(self, *, batch: int, dry_run: bool) -> Iterator[ImportProgressRequest]:
        """The rows in requests of at most `batch`; the last has none when no row is left.

        Raises CommandError where a line is too long to be one.
        """
        with closing(_Ordinals()) as ordinals:
            rows = self._rows()
            ended = False
            while not ended:
                request = ImportProgressRequest(dry_run=dry_run)
                ended = self._fill(request, rows, batch, ordinals)
                yield request

    def _fill(
        self,
        request: ImportProgressRequest,
        rows: Iterator[tuple[int, list[str]]],
        batch: int,
        ordinals: _Ordinals,
    ) -> bool:
        """Puts the next rows into a request; whether they were the last."""
        sent = SentRows()
        self.sent.append(sent)
        items = self.kind.items(request)
        chars = 0
        for line, row in rows:
            try:
                self._put(items.add(), row, ordinals)
            except ValueError as error:
                del items[-1]
                sent.add_problem(line, str(error))
            else:
                sent.lines.append(line)
                chars += sum(map(len, row))
            # Wrong rows count as well: the server must not wait for long, even if all are.
            if len(sent.lines) + sent.wrong == batch or chars > MAX_BATCH_CHARS:
                return False
        return True

    def _rows(self) -> Iterator[tuple[int, list[str]]]:
        """Each row that is not blank and the line that it begins at. A row that cannot be told
        into values has none.
        """
        reader = self._reader
        while True:
            line = reader.line_num + 1
            try:
                row = next(reader, None)
            except csv.Error:
                yield line, []
                continue
            if row is None:
                return
            if row:
                yield line, row

    def _put(self, item: Any, row: list[str], ordinals: _Ordinals) -> None:
        """Fills an item; ValueError with the column and what is wrong."""
        if not row:
            raise ValueError("its quotes are not those of a CSV file")
        if len(row) != self._width:
            raise ValueError(f"{len(row)} columns where the header has {self._width}")
        has_id = False
        for column, text in zip(self._columns, row, strict=True):
            if text:
                _put_value(item, column, text)
                has_id = has_id or column.name == REQUEST_ID
        if self._makes_ids and not has_id:
            made = self._made_id(row, ordinals)
            next(one for one in self.kind.columns if one.name == REQUEST_ID).put(item, made)

    def _made_id(self, row: Sequence[str], ordinals: _Ordinals) -> str:
        """A request id for a row that has none: of the kind, what the row says, whatever the
        order of its columns, and how many rows before it say the same. So the same file, or one
        with rows added or mended, has the same ids again.
        """
        said = sorted(
            (column.name, text) for column, text in zip(self._columns, row, strict=True) if text
        )
        digest = blake2b(repr(said).encode(), digest_size=16).digest()
        return f"csv:{self.kind.name.value}:{digest.hex()}:{ordinals.next(digest)}"


def _put_value(item: Any, column: Column, text: str) -> None:
    try:
        column.put(item, text)
    except UnicodeEncodeError:
        raise ValueError(f"{column.name}: is not UTF-8 text") from None
    except ValueError as error:
        raise ValueError(f"{column.name}: {text[:50]!r} {error}") from None


class _Ordinals:
    """How often each key came up, in a file of SQLite's own that is gone when it is closed: in
    memory, the keys of a long file would take more than there is.
    """

    def __init__(self) -> None:
        # "": on disk once it outgrows its cache. Nothing of it outlives a crash.
        self._database = sqlite3.connect("", isolation_level=None)
        self._database.execute("PRAGMA journal_mode = OFF")
        self._database.execute("BEGIN")
        self._database.execute(
            "CREATE TABLE seen (key BLOB PRIMARY KEY, times INTEGER NOT NULL) WITHOUT ROWID"
        )

    def next(self, key: bytes) -> int:
        """1 at the first time, then 2, and so on."""
        found = self._database.execute("SELECT times FROM seen WHERE key = ?", (key,)).fetchone()
        times: int = 1 + (found[0] if found else 0)
        self._database.execute("REPLACE INTO seen VALUES (?, ?)", (key, times))
        return times

    def close(self) -> None:
        self._database.close()


def _lines(text: TextIOWrapper, name: str) -> Iterator[str]:
    """The lines; CommandError at one that no memory should hold."""
    number = 0
    while line := text.readline(MAX_LINE_CHARS):
        number += 1
        if len(line) == MAX_LINE_CHARS:
            raise CommandError(f"{name}: line {number}: longer than {MAX_LINE_CHARS:,} characters")
        yield line
