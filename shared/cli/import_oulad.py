"""`laurel import oulad`: the folder in, a progress bar on stderr, the counts out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console, RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from shared.cli import oulad
from shared.cli.calls import CommandError, Peer, connected
from shared.cli.import_stream import ImportCounts, ImportStream
from shared.cli.oulad import OuladError
from shared.cli.oulad_messages import import_requests
from shared.cli.output import message_document, number, plain
from shared.gen.laurel.progress.v1.admin_pb2 import ImportProgressRequest

AGAIN = (
    "What was recorded stays, and running the same command again is safe: it replays what is "
    "there and records the rest"
)
MAX_EXAMPLE_TEXT = 100


async def import_oulad(peer: Peer, folder: Path, *, batch: int, dry_run: bool) -> ImportCounts:
    """Import the data set of the folder; raises CommandError if it could not be completed.

    The whole folder is read first: nothing is sent of one that does not read as described.
    """
    try:
        total = oulad.check(folder)
        requests = import_requests(folder, batch=batch, dry_run=dry_run)
        with _progress_bar(total) as bar:
            return await _send(peer, requests, bar)
    except OuladError as error:
        raise CommandError(str(error)) from error
    except CommandError as error:
        if dry_run:
            raise
        message = f"{error.message}. {AGAIN}"
        raise CommandError(message, status=error.status, reason=error.reason) from error


async def _send(peer: Peer, requests: Iterable[ImportProgressRequest], bar: _Bar) -> ImportCounts:
    async with connected(peer) as channel:
        return await ImportStream(channel, bar.report).run(requests)


class _Bar:
    """Shows the counts as they come in."""

    def __init__(self, progress: Progress, total: int) -> None:
        self._progress = progress
        self._task = progress.add_task("courses and users", total=total, rate="")

    def report(self, counts: ImportCounts) -> None:
        """Move the bar to where the counts are."""
        what = "attempts" if counts.received else "courses and users"
        rate = f"{counts.per_second:,.0f}/s"
        self._progress.update(self._task, completed=counts.received, description=what, rate=rate)


@contextmanager
def _progress_bar(total: int) -> Iterator[_Bar]:
    """A bar on stderr, where that is a terminal."""
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
    )
    with Progress(
        *columns, console=console, refresh_per_second=4, disable=not console.is_terminal
    ) as progress:
        yield _Bar(progress, total)


def counts_document(counts: ImportCounts, *, dry_run: bool) -> dict[str, Any]:
    """The counts as a JSON object: plain numbers, times in seconds, rejections by reason."""
    return {
        "dry_run": dry_run,
        "received": counts.received,
        "recorded": counts.recorded,
        "replayed": counts.replayed,
        "rejected": counts.rejected,
        "xp_credited": counts.xp_credited,
        "elapsed_s": round(counts.elapsed_s, 3),
        "attempts_per_s": round(counts.per_second, 1),
        "rejections": [
            {
                "reason": reason,
                "count": rejection.count,
                "examples": [message_document(problem) for problem in rejection.examples],
            }
            for reason, rejection in sorted(counts.rejections.items())
        ],
        "rejections_not_listed": counts.unlisted,
    }


def counts_tables(counts: ImportCounts, *, dry_run: bool) -> Iterator[RenderableType]:
    """The counts, and what was rejected and why."""
    if dry_run:
        yield Text("Dry run: nothing was written.")
    table = Table(box=None, show_header=False)
    table.add_column()
    table.add_column(justify="right")
    for name, value in (
        ("received", counts.received),
        ("recorded", counts.recorded),
        ("replayed", counts.replayed),
        ("rejected", counts.rejected),
        ("xp credited", counts.xp_credited),
    ):
        table.add_row(name, number(value))
    table.add_row("elapsed", f"{counts.elapsed_s:.1f} s")
    table.add_row("attempts/s", f"{counts.per_second:,.0f}")
    yield table
    if counts.rejected:
        yield _rejections_table(counts)


def _rejections_table(counts: ImportCounts) -> Table:
    table = Table()
    table.add_column("rejected because")
    table.add_column("rows", justify="right")
    table.add_column("for example")
    for reason, rejection in sorted(counts.rejections.items()):
        examples = [
            plain(f"{problem.request_id}: {problem.message}"[:MAX_EXAMPLE_TEXT])
            for problem in rejection.examples
        ]
        table.add_row(plain(reason), number(rejection.count), Text("\n").join(examples))
    if counts.unlisted > 0:
        table.add_row("(not listed)", number(counts.unlisted), "")
    return table
