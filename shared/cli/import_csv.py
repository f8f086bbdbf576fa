"""`laurel import csv`: a file in, a progress bar on stderr, the counts out."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from shared.cli.calls import Peer, connected, safe_again
from shared.cli.import_bar import Show, progress_bar
from shared.cli.import_csv_columns import KINDS, Kind
from shared.cli.import_csv_rows import KEPT, CsvFileError, CsvRows, RowProblem
from shared.cli.import_stream import AGAIN, TOTAL_TIMEOUT_S, ImportStream
from shared.cli.output import figures_table, number, plain
from shared.gen.laurel.progress.v1.admin_pb2 import ImportProgressResponse
from shared.identity import Role

STDIN = "-"
HELP = (
    "Import a CSV file: UTF-8, commas, the first line names the columns, in any order.\n\n"
    + "\n\n".join(f"{kind.name.value}: {kind.described()}." for kind in KINDS.values())
    + "\n\nAn empty value leaves a field unset. A row that is wrong is rejected by itself, told "
    "with its line, and the rest goes on.\n\nRunning it again is safe: what is already there is "
    "replayed, and nothing is credited twice. Without a request_id a row gets one that follows "
    "from the kind, its values, and how many rows before it have the same; so of a file with rows "
    "added, only those are recorded."
)


@dataclass
class CsvCounts:
    """The rows of one file so far. Of kinds without request ids, `recorded` counts those that
    are stored.
    """

    kind: Kind
    received: int = 0
    recorded: int = 0
    replayed: int = 0
    rejected: int = 0
    xp_credited: int = 0
    elapsed_s: float = 0.0
    problems: list[RowProblem] = field(default_factory=list)
    _sent: int = 0
    _wrong: int = 0
    _started: float = field(default_factory=time.monotonic)

    @property
    def per_second(self) -> float:
        """Rows answered in a second, over the whole import."""
        return self.received / self.elapsed_s if self.elapsed_s > 0 else 0.0

    def take(self, answer: ImportProgressResponse, rows: CsvRows) -> None:
        """Add the answer to the oldest request of `rows`."""
        sent = rows.sent.popleft()
        self._take_figures(answer)
        problems = [
            RowProblem(sent.lines[one.index - self._sent], one.reason, one.message)
            for one in answer.errors
        ]
        self.problems += sorted([*sent.problems, *problems])
        del self.problems[KEPT:]
        self._sent += len(sent.lines)
        self._wrong += sent.wrong
        self.received += self._wrong
        self.rejected += self._wrong
        self.elapsed_s = time.monotonic() - self._started

    def _take_figures(self, answer: ImportProgressResponse) -> None:
        if self.kind.has_request_ids:
            self.received, self.rejected = answer.received, answer.rejected
            self.recorded, self.replayed = answer.recorded, answer.replayed
            self.xp_credited = answer.xp_credited
        else:
            items = getattr(answer, self.kind.field)
            self.received, self.rejected = items.received, items.rejected
            self.recorded = items.stored

    def figures(self) -> dict[str, int]:
        """The counts by name."""
        if not self.kind.has_request_ids:
            return {
                "received": self.received,
                "stored": self.recorded,
                "rejected": self.rejected,
            }
        names = ("received", "recorded", "replayed", "rejected", "xp_credited")
        return {name: getattr(self, name) for name in names}


async def import_csv(peer: Peer, path: Path, kind: Kind, *, batch: int, dry_run: bool) -> CsvCounts:
    """Import the rows of a file of this kind; `-` is stdin.

    Raises CsvFileError before anything is sent; CommandError if it could not be completed.
    """
    with _opened(path) as (source, size):
        rows = CsvRows(source, "stdin" if str(path) == STDIN else str(path), kind)
        requests = rows.requests(batch=batch, dry_run=dry_run)
        counts = CsvCounts(kind)
        with progress_bar(size) as show_bar:

            def take(answer: ImportProgressResponse) -> None:
                counts.take(answer, rows)
                _show(show_bar, counts, source.tell() if size is not None else 0)

            calling = connected(peer, Role.SERVICE, life_s=TOTAL_TIMEOUT_S)
            async with safe_again(AGAIN, dry_run=dry_run), calling as channel:
                await ImportStream(channel, take).run(requests)
    return counts


def _show(show_bar: Show, counts: CsvCounts, done: int) -> None:
    what = counts.kind.name.value
    show_bar(what, done, f"{counts.received:,} rows  {counts.per_second:,.0f}/s")


@contextmanager
def _opened(path: Path) -> Iterator[tuple[BinaryIO, int | None]]:
    """The file, and its size where that is known."""
    if str(path) == STDIN:
        yield sys.stdin.buffer, None
        return
    try:
        source = path.open("rb")
    except OSError as error:
        raise CsvFileError(f"{path}: {error.strerror}") from error
    with source:
        yield source, path.stat().st_size if path.is_file() else None


def counts_document(counts: CsvCounts, *, dry_run: bool) -> dict[str, Any]:
    """The counts as a JSON object: plain numbers, times in seconds, the first rejections."""
    return {
        "kind": counts.kind.name.value,
        "dry_run": dry_run,
        **counts.figures(),
        "elapsed_s": round(counts.elapsed_s, 3),
        "rows_per_s": round(counts.per_second, 1),
        "rejections": [one._asdict() for one in counts.problems],
        "rejections_not_listed": counts.rejected - len(counts.problems),
    }


def counts_tables(counts: CsvCounts, *, dry_run: bool) -> Iterator[RenderableType]:
    """The counts, and the first rows that were rejected and why."""
    if dry_run:
        yield Text("Dry run: nothing was written.")
    figures = {name.replace("_", " "): figure for name, figure in counts.figures().items()}
    elapsed = f"{counts.elapsed_s:.1f} s"
    yield figures_table(figures | {"elapsed": elapsed, "rows/s": f"{counts.per_second:,.0f}"})
    if counts.problems:
        yield _rejections_table(counts)


def _rejections_table(counts: CsvCounts) -> Table:
    table = Table()
    table.add_column("line", justify="right")
    table.add_column("rejected because")
    table.add_column("")
    for problem in counts.problems:
        table.add_row(number(problem.line), plain(problem.reason), plain(problem.message))
    more = counts.rejected - len(counts.problems)
    if more > 0:
        table.add_row("", "(not listed)", number(more))
    return table
