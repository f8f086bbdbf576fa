"""`laurel import oulad`: the folder in, a progress bar on stderr, the counts out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from shared.cli import oulad
from shared.cli.calls import CommandError, Peer, connected, safe_again
from shared.cli.import_bar import Show, progress_bar
from shared.cli.import_counts import ImportCounts
from shared.cli.import_stream import AGAIN, TOTAL_TIMEOUT_S, ImportStream
from shared.cli.oulad import OuladError
from shared.cli.oulad_messages import import_requests
from shared.cli.output import figures_table, message_document, number, plain
from shared.gen.laurel.progress.v1.admin_pb2 import (
    ImportError as ImportProblem,
)
from shared.gen.laurel.progress.v1.admin_pb2 import (
    ImportItemCounts,
    ImportProgressRequest,
    ImportProgressResponse,
)

MAX_EXAMPLE_TEXT = 100


async def import_oulad(peer: Peer, folder: Path, *, batch: int, dry_run: bool) -> ImportCounts:
    """Import the data set of the folder; raises CommandError if it could not be completed.

    The whole folder is read first: nothing is sent of one that does not read as described.
    """
    try:
        total = oulad.check(folder)
        requests = import_requests(folder, batch=batch, dry_run=dry_run)
        async with safe_again(AGAIN, dry_run=dry_run):
            with progress_bar(total) as show_bar:
                return await _send(peer, requests, total, show_bar)
    except OuladError as error:
        raise CommandError(str(error)) from error


async def _send(
    peer: Peer, requests: Iterable[ImportProgressRequest], total: int, show_bar: Show
) -> ImportCounts:
    counts = ImportCounts()

    def take(answer: ImportProgressResponse) -> None:
        counts.take(answer)
        what = "attempts" if counts.received else "courses and users"
        figures = f"{counts.received:,}/{total:,}  {counts.per_second:,.0f}/s"
        show_bar(what, counts.received, figures)

    async with connected(peer, life_s=TOTAL_TIMEOUT_S) as channel:
        await ImportStream(channel, take).run(requests)
    return counts


def counts_document(counts: ImportCounts, *, dry_run: bool) -> dict[str, Any]:
    """The counts as a JSON object: plain numbers, times in seconds, rejections by reason."""
    return {
        "dry_run": dry_run,
        "received": counts.received,
        "recorded": counts.recorded,
        "replayed": counts.replayed,
        "rejected": counts.rejected,
        "xp_credited": counts.xp_credited,
        "users": _items_document(counts.users),
        "courses": _items_document(counts.courses),
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


def _items_document(counts: ImportItemCounts) -> dict[str, int]:
    return {
        "received": counts.received,
        "stored": counts.stored,
        "rejected": counts.rejected,
    }


def counts_tables(counts: ImportCounts, *, dry_run: bool) -> Iterator[RenderableType]:
    """The counts, and what was rejected and why."""
    if dry_run:
        yield Text("Dry run: nothing was written.")
    yield figures_table(
        {
            "courses": counts.courses.stored,
            "users": counts.users.stored,
            "received": counts.received,
            "recorded": counts.recorded,
            "replayed": counts.replayed,
            "rejected": counts.all_rejected,
            "xp credited": counts.xp_credited,
            "elapsed": f"{counts.elapsed_s:.1f} s",
            "attempts/s": f"{counts.per_second:,.0f}",
        }
    )
    if counts.all_rejected:
        yield _rejections_table(counts)


def _rejections_table(counts: ImportCounts) -> Table:
    table = Table()
    table.add_column("rejected because")
    table.add_column("rows", justify="right")
    table.add_column("for example")
    for reason, rejection in sorted(counts.rejections.items()):
        examples = [_example(problem) for problem in rejection.examples]
        table.add_row(plain(reason), number(rejection.count), Text("\n").join(examples))
    if counts.unlisted > 0:
        table.add_row("(not listed)", number(counts.unlisted), "")
    return table


def _example(problem: ImportProblem) -> Text:
    where = problem.request_id or f"{problem.item.partition('[')[0]} {problem.index}"
    return plain(f"{where}: {problem.message}"[:MAX_EXAMPLE_TEXT])
